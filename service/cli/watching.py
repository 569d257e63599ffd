"""A job that was started here, watched to its end: it feels like a command of this shell."""

from __future__ import annotations

import _thread
import select
import signal
import socket
import time
from typing import Final

from service.cli import exit_status
from service.cli.interrupts import Interrupts
from service.cli.notes import note
from service.cli.output import BROKEN_OFF, Copy
from service.client.failures import ServiceUnreachable, UnexpectedAnswer
from service.client.sync_client import Job
from service.errors import (
    JobNotRunning,
    JobrunnerError,
    OutcomeUnknown,
    SignalNotPassedOn,
    UnknownJob,
)

# Seconds in which a request to kill reaches any service that answers at all.
_MOMENT_S: Final = 2.0


def watch(job: Job, interrupts: Interrupts, offset: int = 0) -> int:
    """Its output from `offset` on, then its exit status. Ctrl-C is the job's; twice, it kills."""
    on_interrupt = _OnInterrupt(job)
    copy = Copy(job, offset, interrupts, on_interrupt)
    try:
        copy.to_end()
        view = interrupts.until(job.wait, on_interrupt)
    except KeyboardInterrupt:
        if on_interrupt.was_killed:
            note(f"The job's end isn't waited for: jobrunner wait {job.id}")
        else:
            note(f"The job goes on: {copy.to_go_on}")
        return exit_status.of_signal(signal.SIGINT)
    except UnknownJob:
        raise
    except BROKEN_OFF:
        note(f"The job goes on: {copy.to_go_on}")
        raise
    if (remark := exit_status.remark(view)) is not None:
        note(remark)
    if view.kill is not None and interrupts.count > 1:
        note(exit_status.receipt(view))
    return exit_status.of_job(view)


class _OnInterrupt:
    """Called with how often Ctrl-C was typed: the first sends INT, the next kills, one more leaves.

    Several that arrive together are one step, and the kill is requested in a thread, where no
    further Ctrl-C breaks into it: a job is left only after its kill was requested, or when that
    takes longer than anybody waits.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._kill: _KillRequest | None = None

    @property
    def was_killed(self) -> bool:
        """The service has the request."""
        return self._kill is not None and self._kill.was_taken

    def __call__(self, count: int) -> None:
        if self._kill is not None:
            self._kill.wait_a_moment()
            raise KeyboardInterrupt
        try:
            if count == 1:
                _send_int(self._job)
            else:
                self._kill = _KillRequest(self._job)
                self._kill.wait()
        except (ServiceUnreachable, OutcomeUnknown):
            self._tell("No service answers.")
        except UnknownJob:
            return  # it was cleaned: the copy ends
        except (JobrunnerError, UnexpectedAnswer) as exc:
            self._tell(str(exc))

    def _tell(self, why: str) -> None:
        if self._kill is not None:
            note(f"The job can't be killed: {why} Ctrl-C again, and it goes on alone.")
        else:
            note(f"The job can't be interrupted: {why} Ctrl-C again kills it.")


class _KillRequest:
    """In a thread of its own, with a client of its own, and what it waits at is a pipe.

    Ctrl-C may come at any instruction of the main thread. Where that is between taking a lock of
    Python's (`Event`, `Thread.start`, a pool of connections) and entering its block, the lock stays
    taken for good: nothing here takes one that the other thread needs.
    """

    def __init__(self, job: Job) -> None:
        self._job = job.separate()
        self._until = time.monotonic() + _MOMENT_S
        self._has_begun = self._is_over = False
        self._error: Exception | None = None
        self._end, self._over = socket.socketpair()

    @property
    def was_taken(self) -> bool:
        return self._is_over and self._error is None

    def wait(self) -> None:
        """Raises: what came of it."""
        self._begin()
        self._await(None)
        if self._error is not None:
            raise self._error

    def wait_a_moment(self) -> None:
        """Until something came of it, or a moment has passed since it was begun."""
        self._begin()
        self._await(max(0.0, self._until - time.monotonic()))

    def _begin(self) -> None:
        if not self._has_begun:  # also when Ctrl-C broke into this before
            _thread.start_new_thread(self._send, ())

    def _await(self, seconds: float | None) -> None:
        select.select([self._end], [], [], seconds)

    def _send(self) -> None:
        self._has_begun = True
        try:
            self._job.request_kill(grace=0)
        except Exception as exc:  # noqa: BLE001 - raised again where it is waited for
            self._error = exc
        self._is_over = True
        self._over.close()


def _send_int(job: Job) -> None:
    try:
        job.signal("INT")
    except JobNotRunning:
        job.request_kill()  # while it is pending nothing else stops it
    except SignalNotPassedOn:
        note("INT doesn't reach the job's container; Ctrl-C again kills the job.")
    else:
        note("INT was sent to the job; Ctrl-C again kills it.")
