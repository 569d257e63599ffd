"""Recovery: live jobs that no supervisor knows are claimed, and taken over or ended (`take_over`).

It runs once for each connection to a supervisor, again until all jobs are decided; workers may do
so at the same time. Jobs that were handed to this worker in the middle of their recovery by another
worker are recovered as well. So are kills: those that were recorded and couldn't be sent.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from service.engine.backoff import Backoff
from service.engine.claim import Claim
from service.engine.claim_message import kill_messages, reclaim_message
from service.engine.driver import Driver
from service.engine.orphans import remove_orphans
from service.engine.record_writer import RecordWriter
from service.engine.session import reply_within
from service.engine.take_over import LogNotClosed, TakeOver
from service.engine.tasks import OwnedTasks
from service.errors import JobrunnerError, Unavailable
from service.jobs.record import JobRecord
from service.jobs.states import FINISHED
from service.link import to_supervisor
from service.link.from_supervisor import SupervisorHello
from service.link.session import REPLY_TIMEOUT_S, SupervisorSession
from service.settings import Settings
from service.store import Overtaken, Store, readable

# Seconds until what couldn't be recovered is tried again: the disk is full, or isn't there.
_RETRY_S: Final = 1.0

_log = structlog.get_logger("jobrunner.engine")


class Recovery:
    """A listener of the session; it claims jobs from `driver`."""

    def __init__(
        self, settings: Settings, store: Store, writer: RecordWriter, driver: Driver
    ) -> None:
        self._settings = settings
        self._store = store
        self._driver = driver
        self._take_over = TakeOver(store, writer)
        self._tasks = OwnedTasks()
        self._adopting: asyncio.Task[None] | None = None
        self._session: SupervisorSession | None = None
        self.trouble: str | None = None  # why jobs couldn't be taken over yet

    @property
    def damaged(self) -> int:
        """How many jobs were ended as their records couldn't be read."""
        return self._take_over.damaged

    def connected(self, session: SupervisorSession, hello: SupervisorHello) -> None:
        """Recover what isn't in the register of this supervisor."""
        self._session = session
        registered = frozenset(hello["jobs"])
        self._tasks.begin(self._run_until_done(session, registered), name="recovery")
        self._adopting = self._tasks.begin(self._run_adopted(session), name="adopted jobs")

    def lost(self) -> None:
        """What is under way fails with its next request; the next connection begins anew."""
        self._session = None
        if self._adopting is not None:
            self._adopting.cancel()

    def awake(self) -> None:
        """Send the kills that were recorded while the supervisor was silent."""
        if self._session is not None:
            self._tasks.begin(self._send_kills(self._session), name="kills")

    async def close(self) -> None:
        """End what is under way; another worker goes on."""
        await self._tasks.cancel()

    async def _run_until_done(self, session: SupervisorSession, registered: frozenset[str]) -> None:
        backoff = Backoff(_RETRY_S, _RETRY_S)
        while self._session is session:
            why = await self._try_run(session, registered)
            if why is None:
                self.trouble = None
                await remove_orphans(self._settings, self._store)
                return
            self.trouble = f"Jobs of an earlier supervisor can't be taken over: {why}"
            await backoff.pause()

    async def _try_run(self, session: SupervisorSession, registered: frozenset[str]) -> str | None:
        try:
            await self.run(session, registered)
        except JobrunnerError as exc:
            _log.error("recovery_failed", error=exc.detail)
            return exc.detail
        except Exception as exc:  # noqa: BLE001 - tried again as long as there is this connection
            _log.exception("recovery_failed")
            return repr(exc)
        return None

    async def run(self, session: SupervisorSession, registered: frozenset[str]) -> None:
        """`registered`: what the supervisor of `session` knew when it said hello. A job that can't
        be taken over stops no other.

        Raises: Unavailable, InsufficientStorage: to be run again.
        """
        left: JobrunnerError | None = None
        for seq, job_id in self._store.unfinished():
            if job_id in registered or self._driver.drives(job_id):
                continue
            if (claim := self._driver.open_claim(job_id)) is not None:
                if claim.is_unanswered:
                    left = Unavailable(f"The supervisor hasn't answered the claim of {job_id}.")
                continue  # decided by who has opened it
            try:
                await self._recover(seq, job_id, session)
            except LogNotClosed as exc:
                _log.error("job_not_recovered", job=job_id, error=exc.detail)
                left = exc
            except Overtaken:
                left = Unavailable(f"The record of {job_id} was changed meanwhile.")
            except JobrunnerError:
                raise
            except Exception as exc:  # noqa: BLE001 - one job shall not stop the others
                _log.exception("job_not_recovered", job=job_id)
                record = self._store.get_numbered(seq)
                if record is not None:
                    why = f"This job can't be taken over: {exc!r}."
                    await self._claim_and_lose(record, session, why)
        await self._send_kills(session)
        if left is not None:
            raise left

    async def _recover(self, seq: int, job_id: str, session: SupervisorSession) -> None:
        record = self._store.get_numbered(seq)
        if record is None or (record.state in FINISHED and record.damage is None):
            return
        record, spec = readable(record)
        if record.damage is not None:
            await self._claim_and_lose(record, session, record.damage)
            return
        with self._claim(job_id, session) as claim:
            if await _is_granted(claim, session, reclaim_message(record, spec)):
                await self._take_over.run(claim, session)

    async def _claim_and_lose(
        self, record: JobRecord, session: SupervisorSession, why: str
    ) -> None:
        message: to_supervisor.Claim = {"type": "claim", "job": record.id, "stored": True}
        with self._claim(record.id, session) as claim:
            if await _is_granted(claim, session, message):
                await self._take_over.lose(claim, session, record, why)

    def _claim(self, job_id: str, session: SupervisorSession) -> Claim:
        # Else it could be in the way of a claim that is made over the next connection.
        if not session.is_open:
            raise Unavailable("The supervisor was lost meanwhile.")
        return self._driver.claim(job_id)

    async def _run_adopted(self, session: SupervisorSession) -> None:
        while True:
            claim = await self._driver.unrecovered.get()
            self._tasks.begin(self._recover_adopted(claim, session), name="recovery of a job")

    async def _recover_adopted(self, claim: Claim, session: SupervisorSession) -> None:
        """End, or go on with, a job whose recovery its last worker had begun."""
        backoff = Backoff(_RETRY_S, _RETRY_S)
        with claim:
            while self._session is session:
                try:
                    await self._take_over.run(claim, session)
                except JobrunnerError as exc:
                    _log.error("recovery_failed", job=claim.job_id, error=exc.detail)
                except Exception:  # noqa: BLE001 - the same
                    _log.exception("recovery_failed", job=claim.job_id)
                else:
                    return
                await backoff.pause()

    async def _send_kills(self, session: SupervisorSession) -> None:
        """Kills that were recorded by a worker that couldn't send them."""
        for job_id, kill in self._store.kills.pending():
            for message in kill_messages(job_id, kill):
                async with reply_within(REPLY_TIMEOUT_S):
                    await session.request(message)


async def _is_granted(
    claim: Claim, session: SupervisorSession, message: to_supervisor.Claim
) -> bool:
    """Raises: Unavailable."""
    async with reply_within(REPLY_TIMEOUT_S):
        await claim.request(session, message)
    return claim.is_granted  # else another worker was faster
