"""Processes that a test keeps an eye on: whether exactly these still run, by pidfd.

A number in /proc may be somebody else's by the time one looks; a descriptor never is.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

# Seconds: a fuse, for a wait that is over in milliseconds.
_FUSE_S = 300.0


class Watched:
    """Living processes, opened by number when it is made.

    Raises: ProcessLookupError, unless `some_ended` says that some of them may have ended already.
    """

    def __init__(self, pids: Iterable[int], *, some_ended: bool = False) -> None:
        self._descriptors: dict[int, int] = {}
        try:
            for pid in pids:
                with suppress(*([ProcessLookupError] if some_ended else [])):
                    self._descriptors[pid] = os.pidfd_open(pid)
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def alive(self) -> list[int]:
        """Those that haven't ended; a zombie has."""
        return [pid for pid, fd in self._descriptors.items() if not _has_ended(fd, 0)]

    def wait_gone(self) -> None:
        """Return once all have ended."""
        for pid, descriptor in self._descriptors.items():
            assert _has_ended(descriptor, _FUSE_S), f"process {pid} goes on"

    def signal(self, number: int) -> None:
        for descriptor in self._descriptors.values():
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                continue

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()


def in_session(session: int) -> list[int]:
    """The processes of a session, zombies included. Source: proc(5), /proc/pid/stat."""
    return [pid for pid in _all() if _session(pid) == session]


def of_jobs(job_ids: Iterable[str]) -> dict[int, str]:
    """The processes that were executed with a job's ID in their environment, and whose they are."""
    wanted = {f"JOBRUNNER_JOB_ID={job_id}".encode(): job_id for job_id in job_ids}
    found = {}
    for pid in _all():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for variable in wanted.keys() & set(variables):
            found[pid] = wanted[variable]
    return found


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    # The name stands in parentheses and may hold anything.
    return int(text[text.rindex(b")") + 2 :].split()[3])


def _has_ended(descriptor: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(seconds * 1000))
