"""The verbs: submit, kill, clean, wait, show, list. One engine in each worker; each answers for
every job, whoever owns it.

Submit, kill and clean run in tasks of the engine: the caller that goes away cancels its answer, not
the work.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from service.engine.ceilings import unkept
from service.engine.claim_message import claim_message, too_many_pending, unsupported
from service.engine.job_subscription import JobSubscription
from service.engine.link import Link
from service.engine.owner import Owner
from service.engine.patient_writes import LogKeeper, stored, while_locked
from service.engine.readiness import RecordsCheck, readiness
from service.engine.record_writer import RecordWriter
from service.engine.removal import Removal
from service.engine.retention import Retention
from service.engine.tasks import OwnedTasks
from service.engine.waiters import Waiters
from service.errors import (
    IdempotencyKeyReused,
    InsufficientStorage,
    InvalidJob,
    JobIsLive,
    JobrunnerError,
    TooManyRequests,
    Unavailable,
    UnknownJob,
)
from service.files.job import JobFiles, job_files
from service.host.heartbeats import Heartbeats
from service.jobs.ceilings import NO_CEILINGS, Ceilings
from service.jobs.fields import DEFAULT_GRACE_S
from service.jobs.lifecycle import LIVE, Reason, State
from service.jobs.record import CommandOutcome, JobRecord, Kill, signal_name
from service.jobs.spec import JobSpec
from service.jobs.visibility import Sight, Visibility
from service.kinds.stored import encode_spec
from service.link.capabilities import LOG_ON_DEMAND
from service.link.from_supervisor import ClaimReply
from service.link.session import REPLY_TIMEOUT_S, ConnectionLost
from service.link.to_supervisor import Kill as KillMessage
from service.metrics.series import Metrics
from service.output.formats.encoder import Encoder
from service.output.watcher import LogWatcher
from service.settings import Settings
from service.store import DuplicateKey, Page, Query, Store, readable

# Seconds after which a client may ask again when the running jobs have all descriptors: some job
# must end first.
_DESCRIPTORS_RETRY_S: Final = 5
_NO_DESCRIPTORS: Final = "No file descriptors are free for another job; some must end first."
# The same, when as many jobs are pending as may be.
_PENDING_RETRY_S: Final = 5
# Times that a job is claimed, when the supervisor is replaced meanwhile.
_CLAIMS: Final = 3

T = TypeVar("T")
_log = structlog.get_logger("jobrunner.engine")


def _not_watched(why: str) -> None:
    _log.warning("output_not_watched", why=why)


def _nothing() -> None:
    """Nobody watches this worker."""


@dataclass(frozen=True, slots=True)
class Submission:
    """`created` is False when the idempotency key led to a job that was there already."""

    id: str
    created: bool


class Engine:
    """Opened once per worker, in its loop."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics | None = None,
        beats: Heartbeats | None = None,
    ) -> None:
        """`beats` is shared with the main process; None: there is none."""
        self._settings = settings
        self._beats = beats
        self._store = store
        self._metrics = metrics or Metrics()
        writer = RecordWriter(store, self._metrics)
        self._waiters = Waiters()
        self._records_check = RecordsCheck(store)
        self._refused_at = float("-inf")  # when the supervisor had no descriptors for a job
        self._removal = Removal(settings, store, self._restore_reserve)
        self._retention = Retention(settings, store, self._retire)
        self._owner = Owner(
            settings,
            store,
            self._changed,
            self._retention.finished,
            writer,
            self._waiters.has_state_waiters,
        )
        stamp = beats.beat_worker if beats is not None else _nothing
        self._link = Link(settings, store, self._owner, self._waiters.notify_all, writer, stamp)
        self._log_watcher = LogWatcher(_not_watched)
        self._tasks = OwnedTasks()
        self._closing = False
        self._log_keeper = LogKeeper(store, partial(self._tasks.begin, name="checkpoint"))

    async def open(self) -> None:
        """Raises: SupervisorFailed."""
        await self._link.open()
        self._log_watcher.open()
        self._tasks.keep(self._removal.run, name="removal")
        self._tasks.keep(self._retention.run, name="retention")

    async def close(self) -> None:
        """End the readers, finish what was begun, then hand all jobs over."""
        self._closing = True
        self._log_watcher.close()
        self._waiters.notify_all()
        self._removal.close()
        await self._tasks.cancel_kept()
        await self._tasks.finish()
        await self._link.close()

    # Verbs

    async def submit(
        self,
        spec: JobSpec,
        *,
        key: str | None = None,
        principal: str | None = None,
        ceilings: Ceilings = NO_CEILINGS,
    ) -> Submission:
        """Store a job that will run or be reported as not run, whatever is killed from now on.
        Both the job and `key` belong to `principal`; `ceilings` are those of its token.

        Raises: IdempotencyKeyReused, InvalidJob, InsufficientStorage, TooManyRequests, Unavailable.
        """
        return await self._in_task(
            while_locked(lambda: self._submit(spec, key, principal, ceilings))
        )

    async def kill(self, job_id: str, *, signal: int, grace_s: float | None) -> State | None:
        """Have a job ended; its state then, None when it is unknown. `grace_s` None: the grace that
        the job was submitted with.

        Raises: Unavailable.
        """
        return await self._in_task(self._kill(job_id, signal, grace_s))

    async def clean(self, job_id: str) -> None:
        """Forget a finished job: record, output, working directory.

        Raises: UnknownJob, JobIsLive, InsufficientStorage, Unavailable.
        """
        await self._in_task(self._clean(job_id))

    async def wait(self, job_id: str, timeout_s: float | None = None) -> JobRecord:
        """The job once it is finished, or as it is after `timeout_s`.

        Raises: UnknownJob; Unavailable, when this worker stops meanwhile.
        """
        with self._waiters.subscribed(job_id, to_end=True) as changed:
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        changed.clear()
                        if not self.is_live(job_id):
                            return self.show(job_id)
                        self._check_open()
                        await changed.wait()
            except TimeoutError:
                return self.show(job_id)

    def follow(
        self, job_id: str, encoder: Encoder, *, offset: int, stream: int | None, follow: bool
    ) -> JobSubscription:
        """The job's output from `offset` on, to be entered: `async with`."""
        return JobSubscription(
            self, self._log_watcher, job_id, encoder, offset=offset, stream=stream, follow=follow
        )

    async def wait_started(self, job_id: str) -> None:
        """Return once the job isn't pending any more. Raises: UnknownJob, when it is cleaned."""
        with self._waiters.subscribed(job_id, to_end=False) as changed:
            while True:
                changed.clear()
                if self.state(job_id) is not State.PENDING:
                    return
                self._check_open()
                await changed.wait()

    async def make_log(self, job_id: str) -> None:
        """Have the log of a running job made, of which no byte has come yet; nothing happens when
        the job is over.

        Raises: InsufficientStorage; Unavailable.
        """
        await self._link.connection()
        if LOG_ON_DEMAND not in self._link.hello["capabilities"]:
            return  # an older release makes it at once
        reply = await self._link.request({"type": "make_log", "job": job_id})
        if why := reply.get("why"):
            raise InsufficientStorage(f"The log of {job_id} can't be made: {why}.")

    async def wait_finished(self, job_id: str) -> None:
        """Return once the job is finished, or gone."""
        with self._waiters.subscribed(job_id, to_end=True) as changed:
            while True:
                changed.clear()
                if not self.is_live(job_id):
                    return
                self._check_open()
                await changed.wait()

    def show(self, job_id: str) -> JobRecord:
        """Raises: UnknownJob, Unavailable."""
        self._owner.settle()
        record = self._store.get(job_id)
        if record is None:
            raise UnknownJob(job_id)
        return record

    def state(self, job_id: str) -> State:
        """Raises: UnknownJob, Unavailable."""
        self._owner.settle()
        state = self._store.state_of(job_id)
        if state is None:
            raise UnknownJob(job_id)
        return state

    def is_live(self, job_id: str) -> bool:
        """False as well for one that is unknown. Raises: Unavailable."""
        return self._owner.drives(job_id) or self._store.state_of(job_id) in LIVE

    def output_end(self, job_id: str) -> int:
        """The bytes of output that the job's record tells of: 0 until it is finished.

        Raises: Unavailable.
        """
        return self._store.output_end_of(job_id)

    def sight(self, job_id: str, visible: Visibility) -> Sight:
        """What a caller who sees `visible` has to do with that ID. Raises: Unavailable."""
        return self._store.lists.sight(job_id, visible)

    def page(self, query: Query, visible: Visibility, *, full: bool) -> Page:
        self._owner.settle()
        return self._store.lists.page(query, visible, full=full)

    def files(self, job_id: str) -> JobFiles:
        """Where the job's files are; its directory exists from its first command on, its log from
        its first byte on, or from `make_log`.
        """
        return job_files(self._settings.state_dir, job_id)

    def readiness(self) -> dict[str, str | None]:
        """What a new job needs, and of each what is wrong with it now, if anything."""
        refused_s = time.monotonic() - self._refused_at
        return readiness(
            self._records_check,
            supervisor="This worker is stopping." if self._closing else self._link.trouble,
            main_silent_s=self._beats.main_silent_s() if self._beats is not None else 0.0,
            unstored=self._owner.fault,
            shortage=self._store.reserve.shortage(),
            descriptors=_NO_DESCRIPTORS if refused_s < _DESCRIPTORS_RETRY_S else None,
        )

    def remarks(self) -> dict[str, str]:
        """What the operator should know of things that are well enough for new jobs."""
        remarks = {}
        if damaged := self._link.damaged:
            why = f"{damaged} jobs were ended as their records can't be read; each has an Error."
            remarks["records"] = why
        if (refusal := self._log_watcher.refusal) is not None:
            remarks["output"] = refusal
        return remarks

    # How

    async def _submit(
        self, spec: JobSpec, key: str | None, principal: str | None, ceilings: Ceilings
    ) -> Submission:
        data = encode_spec(spec)
        key_hash = hashlib.sha256(data).digest() if key is not None else None
        if key is not None and (known := self._known(key, key_hash, principal)) is not None:
            return known
        self._check_room()
        await self._log_keeper.wait_for_short_log()
        created_at = time.time_ns()
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                job_id, has_turn = await self._claim(spec, principal, ceilings)
        except TimeoutError as exc:
            raise Unavailable("The supervisor doesn't answer; the job was not taken.") from exc
        record = JobRecord(
            id=job_id,
            name=spec.name,
            labels=spec.labels,
            principal=principal,
            created_at=created_at,
            spec=data,
            commands=(CommandOutcome(),) * len(spec.commands),
            dispatched=0 if has_turn else -1,
            max_running=ceilings.running,
        )
        try:
            record = self._store.insert(record, key=key, key_hash=key_hash)
        except DuplicateKey:
            self._owner.give_up(job_id)
            known = self._known(key or "", key_hash, principal)
            if known is None:  # cleaned within this moment
                raise Unavailable("The job of this Idempotency-Key was just cleaned.") from None
            return known
        except JobrunnerError:
            self._owner.give_up(job_id)
            raise
        self._metrics.submitted()
        self._owner.own(record, spec, has_turn=has_turn)
        self._log_keeper.committed()
        return Submission(job_id, created=True)

    async def _claim(
        self, spec: JobSpec, principal: str | None, ceilings: Ceilings
    ) -> tuple[str, bool]:
        """A new ID in the supervisor's register, and whether it is its turn already.

        Nothing may be awaited between this and the record: until then a lost connection means that
        the job goes to somebody who finds no record, and lets go of it.
        """
        for _ in range(_CLAIMS):
            job_id = str(uuid.uuid4())
            connection = await self._link.connection()
            hello = self._link.hello
            if places := [
                *unsupported(spec, self._settings, hello, ceilings),
                *unkept(spec, self._settings, hello),
            ]:
                raise InvalidJob(places)
            self._owner.claiming(job_id)
            try:
                reply = await connection.request(
                    claim_message(job_id, spec, principal=principal, ceilings=ceilings),
                    on_late=partial(self._withdraw, job_id),
                )
            except ConnectionLost:
                continue  # with another ID: who got that one lets go of it
            if reply["ok"] and connection.is_open:
                return job_id, reply["has_slot"]
            self._owner.not_claimed(job_id)
            if reply.get("why") == "no_descriptors":
                self._refused_at = time.monotonic()
                raise Unavailable(_NO_DESCRIPTORS, retry_after_s=_DESCRIPTORS_RETRY_S)
            if why := too_many_pending(reply, self._settings, principal, ceilings):
                raise TooManyRequests(why, retry_after_s=_PENDING_RETRY_S)
        raise Unavailable("The service is stopping.")

    def _withdraw(self, job_id: str, reply: ClaimReply) -> None:
        """A claim was answered when its caller had been told that the job isn't taken."""
        if reply["ok"]:
            self._owner.give_up(job_id)
        else:
            self._owner.not_claimed(job_id)

    def _known(self, key: str, key_hash: bytes | None, principal: str | None) -> Submission | None:
        found = self._store.find_key(key, principal)
        if found is None:
            return None
        job_id, stored_hash = found
        if stored_hash != key_hash:
            raise IdempotencyKeyReused(
                f"The Idempotency-Key {key[:80]!r} was used for another body, for job {job_id}."
            )
        return Submission(job_id, created=False)

    async def _kill(self, job_id: str, signal: int, grace_s: float | None) -> State | None:
        at = time.time_ns()
        if grace_s is None:
            record = self._store.get(job_id)
            grace_s = DEFAULT_GRACE_S if record is None else readable(record)[1].grace_s
        kill = Kill(
            reason=Reason.REQUESTED, requested_at=at, signal=signal_name(signal), grace_s=grace_s
        )
        self._owner.settle()
        try:
            state = self._store.kills.add(job_id, kill)
        except JobrunnerError as exc:
            # A kill acts even when it can't be recorded.
            _log.error("kill_not_recorded", job=job_id, error=exc.detail)
            state = self._store.state_of(job_id)
        if state not in LIVE:
            return state
        message: KillMessage = {
            "type": "kill",
            "job": job_id,
            "signal": signal,
            "grace_s": grace_s,
            "requested_at": at,
            "reason": Reason.REQUESTED.value,
        }
        await self._link.request(message)
        return self._store.state_of(job_id)

    async def _clean(self, job_id: str) -> None:
        state = self.state(job_id)
        if state in LIVE:
            raise JobIsLive(
                f"The job {job_id} is {state.value}; only a finished job can be cleaned."
            )
        await self._forget([job_id])

    async def _retire(self, job_ids: list[str]) -> int:
        cleaned = await self._forget(job_ids)
        await self._removal.try_again()
        return cleaned

    async def _forget(self, job_ids: list[str]) -> int:
        def clean() -> list[str]:
            return [job_id for job_id in job_ids if self._store.finished.clean(job_id)]

        cleaned = await stored(lambda: self._store.atomically(clean))
        for job_id in cleaned:
            self._waiters.notify(job_id, finished=True)
        await self._removal.remove(cleaned)
        return len(cleaned)

    def _check_open(self) -> None:
        if self._closing:
            raise Unavailable("This worker is stopping.")

    def _check_room(self) -> None:
        if (why := self._store.reserve.shortage()) is not None:
            raise InsufficientStorage(why)
        self._restore_reserve()

    def _restore_reserve(self) -> None:
        try:
            self._store.reserve.restore()
        except OSError as exc:
            _log.warning("reserve_not_made", error=str(exc))

    def _changed(self, job_id: str, state: State) -> None:
        self._waiters.notify(job_id, finished=state not in LIVE)
        if state not in LIVE:
            self._log_keeper.committed()

    async def _in_task(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            self._check_open()
        except Unavailable:
            work.close()
            raise
        return await self._tasks.run(work, name="verb")
