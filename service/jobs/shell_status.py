"""How a job ended, in the one number that a shell has for it.

Source: 124, 125 as timeout(1) and `docker run` have them; 128+n as shells.
"""

from __future__ import annotations

from typing import Final, Protocol

from service.jobs.record import signal_number
from service.jobs.states import Reason, State

TIMED_OUT: Final = 124
FAILED: Final = 125
"""The job didn't fail: it couldn't be started, or nobody knows."""

_TIMEOUTS: Final = frozenset({Reason.TIMEOUT, Reason.IDLE_TIMEOUT, Reason.QUEUE_TIMEOUT})


class _Killed(Protocol):
    @property
    def signal(self) -> str: ...


class Ended(Protocol):
    """A finished job: its record, or its view."""

    @property
    def state(self) -> str: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def exit_code(self) -> int | None: ...

    @property
    def signal(self) -> str | None: ...

    @property
    def error(self) -> str | None: ...

    @property
    def kill(self) -> _Killed | None: ...


def of_signal(number: int) -> int:
    """Of a process that this signal ended."""
    return 128 + number


def of_job(job: Ended) -> int:
    """Of a finished job."""
    if job.reason in _TIMEOUTS:
        return TIMED_OUT
    if job.error is not None:
        return FAILED
    if job.exit_code is not None and job.state == State.EXITED:
        return job.exit_code
    # One that was killed before it ran has only the signal that it would have got.
    name = job.signal or (job.kill.signal if job.kill is not None else None)
    return of_signal(signal_number(name)) if name is not None else FAILED
