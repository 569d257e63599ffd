"""Exit statuses: as the job did, and what is said of it where that isn't a number of its own.

Source: 124, 125 as timeout(1) and `docker run` have them; 128+n as shells.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Final

from service.jobs.states import Reason
from service.jobs.views import JobView, KillView

USAGE: Final = 2
TIMED_OUT: Final = 124
FAILED: Final = 125
"""Not the job failed, but this command, or the start of the job's."""

_TIMEOUTS: Final = frozenset({Reason.TIMEOUT, Reason.IDLE_TIMEOUT, Reason.QUEUE_TIMEOUT})


def of_signal(number: int) -> int:
    """Of a process that this signal ended."""
    return 128 + number


def of_job(view: JobView) -> int:
    """Of a finished job."""
    if view.reason in _TIMEOUTS:
        return TIMED_OUT
    if view.error is not None:
        return FAILED
    if view.exit_code is not None and view.state == "exited":
        return view.exit_code
    # One that was killed before it ran has only the signal that it would have got.
    name = view.signal or (view.kill.signal if view.kill is not None else None)
    return of_signal(_number(name)) if name is not None else FAILED


def worst(statuses: Iterable[int]) -> int:
    """Of several jobs: the highest number, so 0 only if all of them have it.

    >>> worst([0, 3, 1]), worst([])
    (3, 0)
    """
    return max(statuses, default=0)


def _number(name: str) -> int:
    """Of a signal by its name, `SIGRTMIN+3` among them."""
    first, plus, more = name.partition("+")
    return signal.Signals[first] + (int(more) if plus else 0)


def remark(view: JobView) -> str | None:
    """What its exit status alone doesn't say; None when it ended as commands do."""
    if view.state == "killed" and view.reason != Reason.REQUESTED:
        return f"The job {view.id} was killed: {_WHY.get(view.reason or '', view.reason)}."
    if view.error is not None:
        return f"The job {view.id} could not be started: {view.error}"
    return None


_WHY: Final[dict[str, str]] = {
    Reason.TIMEOUT: "it ran into its Timeout",
    Reason.IDLE_TIMEOUT: "it was silent for its IdleTimeout",
    Reason.QUEUE_TIMEOUT: "it was still pending after its QueueTimeout",
    Reason.LOST: "the supervisor died, and nobody knows how it would have ended",
    Reason.SHUTDOWN: "the service was stopped",
    Reason.OUTPUT: "its output could not be stored",
}


def receipt(view: JobView) -> str:
    """What the kill of a job did, as a sentence."""
    if view.kill is None:
        return f"The job {view.id} had ended by itself."
    return f"The job {view.id} was killed: {signals_of(view.kill)}."


def signals_of(kill: KillView) -> str:
    """What was sent, to how many processes, and whether they are gone."""
    signals = ", then ".join(name.removeprefix("SIG") for name in kill.signals) or "no signal"
    processes = "process" if kill.found == 1 else "processes"
    found = "" if kill.found is None else f"; {kill.found} {processes} found"
    gone = {True: ", all seen gone", False: ", NOT all seen gone", None: ""}[kill.verified_gone]
    return f"{signals} sent{found}{gone}"
