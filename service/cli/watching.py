"""A job that was started here, watched to its end: it feels like a command of this shell."""

from __future__ import annotations

import signal
import sys

from service.cli import exit_status
from service.cli.interrupts import Interrupts
from service.cli.notes import note
from service.cli.output import Copy
from service.client.failures import ServiceUnreachable
from service.client.sync_client import Job
from service.errors import JobNotRunning, OutcomeUnknown, SignalNotPassedOn


def watch(job: Job, offset: int = 0) -> int:
    """Its output from `offset` on, then its exit status. Ctrl-C is the job's; twice, it kills."""
    with Interrupts() as interrupts:
        copy = Copy(job, offset, interrupts)
        try:
            copy.to_end(lambda count: _interrupt(job, count))
            with interrupts.let_in():
                view = job.wait()
        except (KeyboardInterrupt, BrokenPipeError) as exc:
            note(f"The job goes on: jobrunner attach --offset {copy.offset} {job.id}")
            if isinstance(exc, BrokenPipeError):
                raise
            return exit_status.of_signal(signal.SIGINT)
    if (remark := exit_status.remark(view)) is not None:
        note(remark)
    if view.kill is not None and interrupts.count > 1:
        note(exit_status.receipt(view))
    sys.stdout.flush()
    return exit_status.of_job(view)


def _interrupt(job: Job, count: int) -> None:
    """The first is the job's, the second kills it; a third leaves a service that doesn't answer."""
    if count > 2:
        raise KeyboardInterrupt
    try:
        if count == 1:
            _send_int(job)
        else:
            job.request_kill(grace=0)
    except (ServiceUnreachable, OutcomeUnknown):
        what = "be interrupted" if count == 1 else "be killed"
        note(f"The job can't {what}: no service answers. Ctrl-C again, and it goes on alone.")


def _send_int(job: Job) -> None:
    try:
        job.signal("INT")
    except JobNotRunning:
        job.request_kill()  # while it is pending nothing else stops it
    except SignalNotPassedOn:
        note("INT doesn't reach the job's container; Ctrl-C again kills the job.")
    else:
        note("INT was sent to the job; Ctrl-C again kills it.")
