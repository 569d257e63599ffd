"""A job that was started here, watched to its end: it feels like a command of this shell."""

from __future__ import annotations

import signal

from service.cli import exit_status
from service.cli.interrupts import Interrupts
from service.cli.notes import note
from service.cli.output import Copy
from service.client.failures import ServiceUnreachable, UnexpectedAnswer
from service.client.sync_client import Job
from service.errors import (
    JobNotRunning,
    JobrunnerError,
    OutcomeUnknown,
    SignalNotPassedOn,
    UnknownJob,
)


def watch(job: Job, interrupts: Interrupts, offset: int = 0) -> int:
    """Its output from `offset` on, then its exit status. Ctrl-C is the job's; twice, it kills."""
    on_interrupt = _OnInterrupt(job)
    copy = Copy(job, offset, interrupts, on_interrupt)
    try:
        copy.to_end()
        view = interrupts.until(job.wait, on_interrupt)
    except KeyboardInterrupt:
        _say_how_to_go_on(copy)
        return exit_status.of_signal(signal.SIGINT)
    except UnknownJob:
        raise
    except (JobrunnerError, UnexpectedAnswer, OSError):
        _say_how_to_go_on(copy)
        raise
    if (remark := exit_status.remark(view)) is not None:
        note(remark)
    if view.kill is not None and interrupts.count > 1:
        note(exit_status.receipt(view))
    return exit_status.of_job(view)


def _say_how_to_go_on(copy: Copy) -> None:
    note(f"The job goes on: jobrunner attach --offset {copy.offset} {copy.job.id}")


class _OnInterrupt:
    """Called with how often Ctrl-C was typed: the first sends INT, the next kills, one more leaves.

    Several that arrive together are one step, so a job is left only after its kill was requested.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._has_killed = False

    def __call__(self, count: int) -> None:
        if self._has_killed:
            raise KeyboardInterrupt
        try:
            if count == 1:
                _send_int(self._job)
            else:
                self._has_killed = True
                self._job.request_kill(grace=0)
        except (ServiceUnreachable, OutcomeUnknown):
            self._tell("No service answers.")
        except UnknownJob:
            return  # it was cleaned: the copy ends
        except (JobrunnerError, UnexpectedAnswer) as exc:
            self._tell(str(exc))

    def _tell(self, why: str) -> None:
        if self._has_killed:
            note(f"The job can't be killed: {why} Ctrl-C again, and it goes on alone.")
        else:
            note(f"The job can't be interrupted: {why} Ctrl-C again kills it.")


def _send_int(job: Job) -> None:
    try:
        job.signal("INT")
    except JobNotRunning:
        job.request_kill()  # while it is pending nothing else stops it
    except SignalNotPassedOn:
        note("INT doesn't reach the job's container; Ctrl-C again kills the job.")
    else:
        note("INT was sent to the job; Ctrl-C again kills it.")
