"""Sending a job's processes a signal that is no kill, whichever worker drives the job.

Nothing is recorded before, and nothing is asked twice: a second signal means something else to a
program. A caller whose request may have been carried out is told so.
"""

from __future__ import annotations

import asyncio

import structlog

from service.engine.driver import Driver
from service.engine.session import KeptSession
from service.errors import (
    JobNotRunning,
    NoForeground,
    OutcomeUnknown,
    SignalNotPassedOn,
    Unavailable,
    UnknownJob,
)
from service.jobs.record import signal_name
from service.jobs.states import LIVE
from service.link.capabilities import SIGNAL
from service.link.from_supervisor import SignalReply
from service.link.session import REPLY_TIMEOUT_S, ConnectionLost, SupervisorSession
from service.link.to_supervisor import SendSignal
from service.store import Store

_log = structlog.get_logger("jobrunner.engine")


class Signalling:
    """The signals that callers of one worker send."""

    def __init__(self, store: Store, session: KeptSession, driver: Driver) -> None:
        self._store = store
        self._session = session
        self._driver = driver

    async def send(self, job_id: str, number: int, *, foreground: bool) -> int:
        """See `Interaction.signal`."""
        self._driver.settle()
        self._check_live(job_id)
        session = await self._session.current()
        if SIGNAL not in self._session.hello["capabilities"]:
            raise Unavailable(
                "The supervisor that runs is of an older release, which can't send a signal that is"
                " no kill (`jobrunner supervisor upgrade` makes it the installed one)."
            )
        message: SendSignal = {"type": "signal", "job": job_id, "signal": number}
        if foreground:
            message["foreground"] = True
        reply = await request_once(session, message)
        if not reply["ok"]:
            self._raise(job_id, number, reply)
        processes = reply["processes"]
        _log.info("job_signalled", job=job_id, signal=signal_name(number), processes=processes)
        return processes

    def _check_live(self, job_id: str) -> None:
        state = self._store.state_of(job_id)
        if state is None:
            raise UnknownJob(job_id)
        if state not in LIVE:
            raise JobNotRunning(f"The job {job_id} is {state.value}: it has no process any more.")

    def _raise(self, job_id: str, number: int, reply: SignalReply) -> None:
        match reply["why"]:
            case "pending":
                raise JobNotRunning(f"The job {job_id} is pending: it has no process yet.")
            case "ended":
                raise JobNotRunning(f"The job {job_id} is ending: it has no process any more.")
            case "not_passed_on":
                raise SignalNotPassedOn(job_id, signal_name(number))
            case "no_foreground":
                raise NoForeground(job_id)
            case "unknown_job":
                self._check_live(job_id)
                raise Unavailable(f"The job {job_id} is being recovered.")


async def request_once(session: SupervisorSession, message: SendSignal) -> SignalReply:
    """Ask the supervisor, and not again. Raises: OutcomeUnknown."""
    try:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            return await session.request(message)
    except (ConnectionLost, TimeoutError) as exc:
        raise OutcomeUnknown(
            "The supervisor was asked to send the signal, and its answer didn't come: it may have"
            " been sent."
        ) from exc
