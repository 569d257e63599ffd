"""OOM scores: when the host runs out of memory the kernel kills a job before the supervisor, with
which all jobs would be lost.

The score is inherited, so each command gets its own right after it was spawned. Setting it in the
child would cost a fork instead of a vfork; a process that the command forks in these microseconds
keeps the supervisor's score.
Source: proc(5), /proc/pid/oom_score_adj.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from service.host.identity import Identity

# How much lower the supervisor's score is than its jobs': worth half of the host's memory.
_APART: Final = 500
_MOST: Final = 1000


class OomScore:
    """Of this process and of its commands."""

    def __init__(self, of_jobs: int | None = None) -> None:
        """`of_jobs`: as an earlier image of this process has set it."""
        if of_jobs is not None:
            self.of_jobs: int | None = of_jobs
            return
        try:
            with open("/proc/self/oom_score_adj") as file:
                inherited = int(file.read())
        except (OSError, ValueError):
            self.of_jobs = None  # there are no scores here
            return
        try:
            _write("self", max(-_MOST + 1, inherited - _APART))
            self.of_jobs = inherited
        except OSError:
            # Only the privileged may lower it; anybody may raise that of his own processes.
            self.of_jobs = min(_MOST, inherited + _APART)

    def set_for(self, pid: int) -> None:
        """Give this child, a command, the score of jobs."""
        if self.of_jobs is not None:
            with suppress(OSError):  # it has ended
                try:
                    _write(str(pid), self.of_jobs)
                except PermissionError:
                    # Root without CAP_DAC_OVERRIDE (in a unit, in a container): the file is its
                    # user's, who may raise the score.
                    user = os.stat(f"/proc/{pid}")
                    with Identity(user.st_uid, user.st_gid).assumed():
                        _write(str(pid), self.of_jobs)


def _write(pid: str, score: int) -> None:
    # A file object costs more than the write.
    descriptor = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"%d" % score)
    finally:
        os.close(descriptor)
