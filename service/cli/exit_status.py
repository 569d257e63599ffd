"""Exit statuses: as the job did, and what is said of it where that isn't a number of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.jobs.shell_status import FAILED, TIMED_OUT, of_job, of_signal
from service.jobs.states import Reason
from service.jobs.views import JobView, KillView

__all__ = [
    "FAILED",
    "TIMED_OUT",
    "USAGE",
    "of_job",
    "of_signal",
    "receipt",
    "remark",
    "signals_of",
    "worst",
]

USAGE: Final = 2


def worst(statuses: Iterable[int]) -> int:
    """Of several jobs: the highest number, so 0 only if all of them have it.

    >>> worst([0, 3, 1]), worst([])
    (3, 0)
    """
    return max(statuses, default=0)


def remark(view: JobView) -> str | None:
    """What its exit status alone doesn't say; None when it ended as commands do."""
    if view.state == "killed" and view.reason != Reason.REQUESTED:
        return f"The job {view.id} was killed: {_WHY.get(view.reason or '', view.reason)}."
    if view.error is not None:
        return f"The job {view.id} could not be started: {view.error}"
    if of_job(view) != 0 and any(command.get("OOMKilled") for command in view.commands):
        return f"The job {view.id} ran out of memory."
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
