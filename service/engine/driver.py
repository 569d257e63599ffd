"""Drives the live jobs of this worker: their events are stored, and what follows is sent.

Rules
1. Events of one batch are stored in one transaction; only after its commit is anything sent.
2. When storing fails, nothing is acknowledged: the events are kept, and tried again.
3. That a job has started may wait a moment, unless somebody waits for it: most jobs that end soon
   are then stored once, not twice. Until then it isn't acknowledged, so nothing is lost with this
   process, and nobody is shown output of the job. A later command's start waits for nothing, as
   its output doesn't.
4. A change is stored only on the revision that it was made of. A worker that was taken for dead,
   and isn't, overwrites nothing: both apply the same events, and the second finds them applied.
5. A job becomes this worker's by a claim (`claim`), or because the supervisor hands it over.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from service.engine.backoff import Backoff
from service.engine.changes import Changes
from service.engine.claim import Claim
from service.engine.live_jobs import LiveJobs
from service.engine.outbox import Outbox
from service.engine.record_writer import RecordWriter
from service.errors import JobrunnerError, RecordsLocked, Unavailable
from service.jobs.states import State
from service.link.from_supervisor import Adopt, Notification, SupervisorHello
from service.link.session import SupervisorSession
from service.link.to_supervisor import Release, ToSupervisor
from service.settings import Settings
from service.store import Overtaken, Store

# Seconds between two tries to store what couldn't be stored: as a rule another process is writing,
# and is done in a moment; free space takes a person's hand.
_FIRST_RETRY_S: Final = 0.02
_LAST_RETRY_S: Final = 1.0
# Times that a batch is applied anew at once, when others have stored changes of its jobs.
_ATTEMPTS: Final = 3
# Seconds that the start of a job waits to be stored: the shortest commands take two milliseconds,
# ten on a busy host, and nobody who polls sees the difference.
_HOLD_S: Final = 0.02

_log = structlog.get_logger("jobrunner.engine")


class Driver:
    """The jobs and the claims of one connection to the supervisor."""

    def __init__(
        self, settings: Settings, store: Store, writer: RecordWriter, changes: Changes
    ) -> None:
        self._store = store
        self._writer = writer
        self._changes = changes
        self._jobs = LiveJobs(settings, store, writer)
        self._claims: dict[str, Claim] = {}
        # Adopted jobs whose last worker died while it recovered them: a dead supervisor may have
        # run them, so they aren't started.
        self.unrecovered: asyncio.Queue[Claim] = asyncio.Queue()
        self.fault: str | None = None  # why the deferred messages couldn't be stored
        self._deferred: list[Notification] = []
        self._backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)
        self._held: list[Notification] = []  # starts that are yet to be stored
        self._holding: asyncio.TimerHandle | None = None
        self._session: SupervisorSession | None = None

    @property
    def damaged(self) -> int:
        """How many jobs were ended as their records couldn't be read, or made no sense."""
        return self._jobs.damaged

    def connected(self, session: SupervisorSession, _hello: SupervisorHello) -> None:
        self._session = session

    def lost(self) -> None:
        """The connection is gone, and with it all jobs and claims."""
        self._session = None
        self._take_held()
        self._jobs.clear()
        self._claims.clear()
        self._deferred.clear()
        while not self.unrecovered.empty():
            self.unrecovered.get_nowait()
        self.fault = None

    def awake(self) -> None:
        """Nothing follows: what was sent has arrived."""

    def drives(self, job_id: str) -> bool:
        """Whether the job is this worker's, and therefore live."""
        return job_id in self._jobs

    def open_claim(self, job_id: str) -> Claim | None:
        """The claim on the job that hasn't been decided yet, if there is one."""
        return self._claims.get(job_id)

    def claim(self, job_id: str) -> Claim:
        """A scope in which the job may become this worker's; see `service.engine.claim`. There must
        be no open claim on the job.
        """
        claim = self._claims[job_id] = Claim(job_id, self._left)
        return claim

    def _left(self, claim: Claim) -> None:
        if self._claims.get(claim.job_id) is not claim or claim.is_unanswered:
            return  # the connection was lost meanwhile, or the reply decides
        del self._claims[claim.job_id]
        if claim.job is not None:
            start = self._jobs.add(claim.job)
            if start is not None:
                self._send(start)
        elif claim.is_granted:
            self._release(claim)
            return
        if claim.parked:
            self.received(claim.parked)

    def _release(self, claim: Claim) -> None:
        message: Release = {"type": "release", "job": claim.job_id}
        if (state := claim.final_state) is not None:
            message["state"] = state.value  # published to the other workers
        self._send(message)
        if state is not None:
            self._changes.changed(claim.job_id, state)
            self._changes.finished(claim.job_id)

    def received(self, batch: list[Notification]) -> None:
        """Messages of the supervisor, in order."""
        batch = [message for message in batch if not self._is_publication(message)]
        if self._deferred:
            self._deferred += batch
        elif all(map(self._can_wait, batch)):
            self._held += batch
            if self._holding is None and batch:
                loop = asyncio.get_running_loop()
                self._holding = loop.call_later(_HOLD_S, self.settle)
        else:
            self._take_in(self._take_held() + batch)

    def settle(self) -> None:
        """Store now what may have waited: somebody asks how jobs stand."""
        if self._held:
            self._take_in(self._take_held())

    def _is_publication(self, message: Notification) -> bool:
        if message["type"] != "job_changed":
            return False
        self._changes.changed(message["job"], State(message["state"]))
        return True

    def _can_wait(self, message: Notification) -> bool:
        if message["type"] != "event" or message["name"] != "started" or message["command"]:
            return False
        return message["job"] in self._jobs and not self._changes.is_awaited(message["job"])

    def _take_held(self) -> list[Notification]:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        held, self._held = self._held, []
        return held

    def _take_in(self, batch: list[Notification]) -> None:
        for _ in range(_ATTEMPTS):
            outbox = Outbox()
            try:
                for message in batch:
                    self._handle(message, outbox)
                if outbox.dirty:
                    self._writer.update(*outbox.dirty.values(), before=outbox.before)
                break
            except Overtaken as exc:
                _log.warning("record_was_changed", job=str(exc))
                self._jobs.forget(batch)
            except JobrunnerError as exc:
                self._defer(batch, exc)
                return
        else:
            self._defer(batch, Unavailable("Others change the same records."))
            return
        self._backoff.reset()
        if self.fault is not None:
            self.fault = None
            _log.info("events_stored", events=len(batch))
        self._stored(outbox)

    def _stored(self, outbox: Outbox) -> None:
        self._jobs.stored(outbox)
        self._send(*outbox.messages())
        for job_id, state in outbox.changed.items():
            self._changes.changed(job_id, state)
        for job_id in outbox.dropped:
            self._changes.finished(job_id)
        for job_id in outbox.kept:
            self._changes.kept(job_id)
        for claim in outbox.to_recover:
            self.unrecovered.put_nowait(claim)

    def _handle(self, message: Notification, outbox: Outbox) -> None:
        if message["type"] == "adopt" and self._needs_recovery(message):
            claim = Claim.adopted(message["job"], self._left, has_slot=message["has_slot"])
            self._claims[message["job"]] = claim
            outbox.to_recover.append(claim)
        elif (
            message["type"] in ("slot_granted", "slot_revoked", "event")
            and message["job"] in self._claims
        ):
            self._claims[message["job"]].parked.append(message)
        else:
            self._jobs.handle(message, outbox)

    def _needs_recovery(self, message: Adopt) -> bool:
        if not message["is_recovered"] or message["dispatched"] >= 0:
            return False
        record = self._store.get(message["job"])
        return record is not None and record.dispatched >= 0

    def _defer(self, batch: list[Notification], error: JobrunnerError) -> None:
        is_passing = isinstance(error, RecordsLocked) and not self._backoff.is_at_most
        if self.fault != error.detail and not is_passing:  # logged once for each spell of failures
            self.fault = error.detail
            _log.error("events_not_stored", error=error.detail, events=len(batch))
        self._jobs.forget(batch)
        self._deferred += batch
        asyncio.get_running_loop().call_later(self._backoff.next_s(), self._retry)

    def _retry(self) -> None:
        batch, self._deferred = self._deferred, []
        if batch:
            self.received(batch)

    def _send(self, *messages: ToSupervisor) -> None:
        if self._session is not None and messages:
            self._session.send(*messages)
