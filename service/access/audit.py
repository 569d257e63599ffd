"""The audit log: who submitted, changed, released, attached to, killed, signalled and cleaned
what; what was refused.

One JSON object a line, appended by one write, so that lines of several workers never mix. Nothing
in it is a secret: no token, no environment, no command line, no output. Text that a caller chose is
escaped.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Final

import msgspec
import structlog

from service.host.escaping import escaped
from service.jobs.times import rfc3339
from service.paths import StateDir

# Characters of a path or an ID that a line has at most.
_MAX_CHARS: Final = 200
_ENCODER: Final = msgspec.json.Encoder()

_log = structlog.get_logger("jobrunner.audit")


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `action`: `submit`, `change`, `release`, `attach`, `follow`, `read`, `write`,
    `remove`, `kill`, `signal`, `resize`, `clean`, `login`, `logout`, `refuse`.
    `client_ip` (`of` in the file): the address that the request came from; `uid`: the user who
    connected, over a Unix socket. `job` and `code` where there is one; `code` is that of the
    problem document. `request`: of a refusal, and of what is done with a file.

    `omitted`: lines that were left out since `since`, by their `codes` (a code, or an action), and
    by the callers who caused most of them (`callers`: addresses, users, or principals).
    """

    at: str
    action: str
    principal: str | None
    token: str | None = None
    client_ip: str = msgspec.field(default="", name="of")
    uid: int | None = None
    job: str | None = None
    code: str | None = None
    request: str | None = None
    omitted: int = 0
    since: str | None = None
    codes: dict[str, int] = {}
    callers: dict[str, int] = {}


class AuditLog:
    """Appends to the file of a state directory. What moves the file away (a log rotation) gets
    everything up to then, and a new one is begun.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = StateDir(state_dir).audit_log
        self._descriptor = -1

    def add(
        self,
        action: str,
        *,
        principal: str | None,
        token: str | None = None,
        client_ip: str = "",
        uid: int | None = None,
        job: str | None = None,
        code: str | None = None,
        request: str | None = None,
    ) -> None:
        """Append a line."""
        self.write(
            Entry(
                at=rfc3339(time.time_ns()),
                action=action,
                principal=principal,
                token=token,
                client_ip=escaped(client_ip),
                uid=uid,
                job=None if job is None else escaped(job[:_MAX_CHARS]),
                code=code,
                request=None if request is None else escaped(request[:_MAX_CHARS]),
            )
        )

    def write(self, entry: Entry) -> None:
        """Append a line. One that can't be written is told in the log, and stops nobody."""
        try:
            line = _ENCODER.encode(entry) + b"\n"
            if os.write(self._file(), line) != len(line):
                raise OSError(errno.ENOSPC, "a line was written only in part")
        except OSError as exc:
            _log.error("audit_not_written", action=entry.action, job=entry.job, error=str(exc))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _file(self) -> int:
        if self._descriptor >= 0 and not self._is_there():
            self.close()
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False
