"""TERM, and who sent it: a process of a job doesn't end the supervisor, and with it all jobs.

To a command the supervisor is its parent, so `kill $PPID` and `pkill -P` of a script reach it. TERM
is blocked in this process, and read with its sender from a descriptor. A sender that descends from
this process is a job's. One that is gone already can't be looked at: as long as there are jobs, its
TERM counts as theirs. A sender outside of this process's PID namespace has no number; no job is
there.

While a command of another user is spawned, TERM is handled without its sender: such jobs may not
signal this process.
Source: signalfd(2), kill(2).
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable
from typing import Final

from service.host.event_log import log_event
from service.host.procfs import look_at

# struct signalfd_siginfo begins with the number, the errno, the code, the pid; its size.
_HEAD: Final = struct.Struct("=IiiI")
_SIZE: Final = 128
# Bytes of sigset_t in the C library. Source: glibc, 1024 signals.
_SET_BYTES: Final = 128


class Termination:
    """Reads the TERMs that were sent to this process. `is_closed`: it can't be done here, and TERM
    is to have a handler.
    """

    def __init__(self, has_jobs: Callable[[], bool]) -> None:
        self._has_jobs = has_jobs
        self.descriptor = _open()

    @property
    def is_closed(self) -> bool:
        return self.descriptor < 0

    def is_told_to_end(self) -> bool:
        """Read what was sent since the last call; whether a sender may end this process."""
        told = False
        while not self.is_closed:
            try:
                info = os.read(self.descriptor, _SIZE)
            except BlockingIOError:
                break
            _, _, code, pid = _HEAD.unpack_from(info)
            told |= self._may_end(code, pid)
        return told

    def close(self) -> None:
        if not self.is_closed:
            os.close(self.descriptor)
            self.descriptor = -1

    def _may_end(self, code: int, pid: int) -> bool:
        # Above 0 the kernel itself sends. Source: sigaction(2), si_code.
        if code > 0 or pid in (0, os.getpid()):
            return True
        if _comes_from(pid, os.getpid(), unknown=self._has_jobs()):
            log_event("term_ignored", sender=pid, why="it is a job's, or gone and may have been")
            return False
        return True


def _comes_from(pid: int, ancestor: int, *, unknown: bool) -> bool:
    """Whether a process descends from that ancestor; `unknown`: what counts when it is gone."""
    while pid > 1:
        if pid == ancestor:
            return True
        if (process := look_at(pid)) is None:
            return unknown
        pid = process.parent
    return False


def _open() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    signals = ctypes.create_string_buffer(_SET_BYTES)
    try:
        libc.sigemptyset(signals)
        libc.sigaddset(signals, int(signal.SIGTERM))
        descriptor: int = libc.signalfd(-1, signals, os.O_CLOEXEC | os.O_NONBLOCK)
    except AttributeError:  # a C library without it
        return -1
    return descriptor
