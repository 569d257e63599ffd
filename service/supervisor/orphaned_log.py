"""Closing the log of a job whose supervisor died, repaired where the death tore it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from service.files.job import JobFiles, job_files
from service.host.event_log import log_event
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from service.link.from_supervisor import OrphanedLogReply

# Errors that pass: the log can't be opened now, and can be later. After any other error it is lost.
_PASSING: Final = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
)


class _NotNow(Exception):
    """It can be tried again; the message says what is in the way."""


def close_orphaned_log(state_dir: str, job_id: str, request_id: int) -> OrphanedLogReply:
    """Close it, and say what is in it. A repeat says the same."""
    files = job_files(state_dir, job_id)
    try:
        end_offset, output_complete = _close(files, job_id)
    except _NotNow as exc:
        return {"type": "reply", "request_id": request_id, "ok": False, "why": str(exc)}
    return {
        "type": "reply",
        "request_id": request_id,
        "ok": True,
        "end_offset": end_offset,
        "output_complete": output_complete,
    }


def _close(files: JobFiles, job_id: str) -> tuple[int, bool]:
    """The end of the log, and whether no byte can be missing. Raises: _NotNow."""
    try:
        log = LogWriter.reopen(files.log)
    except FileNotFoundError:
        # Without a directory it never began; else what it wrote may have been in its pipes.
        return 0, not os.path.isdir(files.directory)
    except OSError as exc:
        if exc.errno in _PASSING:
            raise _NotNow(f"its log can't be repaired: {exc}") from exc
        log_event("log_lost", level="error", job=job_id, why=str(exc))
        return 0, False
    for repair in log.repairs:
        log_event("log_repaired", job=job_id, repair=repair)
    if log.state.closed:
        log.detach()
        return log.end, log.state.complete
    try:
        log.close(complete=False)
    except OSError as exc:
        log.detach()
        raise _NotNow(f"its log can't be closed: {exc}") from exc
    return log.end, False
