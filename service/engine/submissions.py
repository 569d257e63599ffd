"""Taking jobs in: a job is in the supervisor's register first, and in the records then.

Whatever is killed meanwhile, a job that was answered for is in the records, and a job that isn't
there leaves nothing: the worker that is handed its place in the register releases it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Final

import msgspec

from service.engine.claim import Claim
from service.engine.claim_message import claim_message, too_many_pending
from service.engine.driver import Driver
from service.engine.key_retention import keys_kept_since
from service.engine.live_job import LiveJob
from service.engine.patient_writes import LogKeeper, while_locked
from service.engine.session import KeptSession
from service.engine.unsupported import unsupported, unsupported_limits
from service.errors import (
    Draining,
    IdempotencyKeyReused,
    InsufficientStorage,
    InvalidJob,
    TooManyRequests,
    Unavailable,
)
from service.jobs.ceilings import Ceilings
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.spec import JobSpec
from service.kinds.canonical import hash_of, is_stored_as
from service.kinds.stored import encode_spec
from service.link.from_supervisor import ClaimReply
from service.link.session import REPLY_TIMEOUT_S, ConnectionLost
from service.metrics.series import Metrics
from service.settings import Settings
from service.store import DuplicateKey, Store

# Seconds after which a client may ask again when the running jobs have all descriptors: some job
# must end first.
_DESCRIPTORS_RETRY_S: Final = 5
_NO_DESCRIPTORS: Final = "No file descriptors are free for another job; some must end first."
# The same, when as many jobs are pending as may be.
_PENDING_RETRY_S: Final = 5
# The same while the service drains: a person ends that, or the service ends.
_DRAINING_RETRY_S: Final = 30
_DRAINING: Final = (
    "The service drains: it takes no new job. What runs finishes, and what is pending waits for the"
    " next start."
)
# Times that a job is claimed, when the supervisor is replaced meanwhile.
_CLAIMS: Final = 3


class Submission(msgspec.Struct, frozen=True):
    """`created` is False when the idempotency key led to a job that was there already."""

    id: str
    created: bool


class _Request(msgspec.Struct, frozen=True):
    spec: JobSpec
    data: bytes  # the spec as it is stored
    key: str | None
    key_hash: bytes | None
    principal: str | None
    ceilings: Ceilings


class Submissions:
    """Takes jobs in for one worker."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        session: KeptSession,
        driver: Driver,
        metrics: Metrics,
        log_keeper: LogKeeper,
    ) -> None:
        self._settings = settings
        self._store = store
        self._session = session
        self._driver = driver
        self._metrics = metrics
        self._log_keeper = log_keeper
        self._refused_at = float("-inf")  # when the supervisor had no descriptors for a job

    @property
    def shortage(self) -> str | None:
        """Why a job was just refused, when the next one will be, too."""
        refused_s = time.monotonic() - self._refused_at
        return _NO_DESCRIPTORS if refused_s < _DESCRIPTORS_RETRY_S else None

    async def submit(
        self, spec: JobSpec, *, key: str | None, principal: str | None, ceilings: Ceilings
    ) -> Submission:
        """See `Engine.submit`."""
        data = encode_spec(spec)
        key_hash = hash_of(spec) if key is not None else None
        request = _Request(spec, data, key, key_hash, principal, ceilings)
        return await while_locked(lambda: self._submit(request))

    async def _submit(self, request: _Request) -> Submission:
        if request.key is not None and (known := self._known(request)) is not None:
            return known
        if (why := self._store.reserve.shortage()) is not None:
            raise InsufficientStorage(why)
        self._store.reserve.try_restore()
        await self._log_keeper.wait_for_short_log()
        created_at = time.time_ns()
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await self._claim(request, created_at)
        except TimeoutError as exc:
            raise Unavailable("The supervisor doesn't answer; the job was not taken.") from exc

    async def _claim(self, request: _Request, created_at: int) -> Submission:
        for _ in range(_CLAIMS):
            session = await self._session.current()
            self._check_supported(request)
            with self._driver.claim(str(uuid.uuid4())) as claim:
                message = claim_message(
                    claim.job_id,
                    request.spec,
                    principal=request.principal,
                    ceilings=request.ceilings,
                )
                try:
                    reply = await claim.request(session, message)
                except ConnectionLost:
                    continue  # with another ID: the worker that gets this one releases it
                if not claim.is_granted:
                    self._check_refusal(reply, request)
                elif session.is_open:
                    # Nothing may be awaited between the reply and the record: until there is one, a
                    # lost connection hands the job to a worker that finds none, and releases it.
                    return self._store_claimed(claim, request, created_at)
        raise Unavailable("The service is stopping.")

    def _store_claimed(self, claim: Claim, request: _Request, created_at: int) -> Submission:
        spec = request.spec
        record = JobRecord(
            id=claim.job_id,
            name=spec.name,
            labels=spec.labels,
            principal=request.principal,
            created_at=created_at,
            spec=request.data,
            commands=(CommandOutcome(),) * len(spec.commands),
            dispatched=0 if claim.has_slot else -1,
            max_running=request.ceilings.running,
        )
        try:
            record = self._store.insert(
                record,
                key=request.key,
                key_hash=request.key_hash,
                kept_since=keys_kept_since(self._settings, time.time_ns()),
            )
        except DuplicateKey:
            if (known := self._known(request)) is None:  # forgotten within this moment
                raise Unavailable("The Idempotency-Key was just forgotten.") from None
            return known
        self._metrics.submitted()
        claim.own(LiveJob(record, spec, has_slot=claim.has_slot))
        self._log_keeper.committed()
        return Submission(record.id, created=True)

    def _check_supported(self, request: _Request) -> None:
        hello = self._session.hello
        if places := [
            *unsupported(request.spec, self._settings, hello, request.ceilings),
            *unsupported_limits(request.spec, self._settings, hello),
        ]:
            raise InvalidJob(places)

    def _check_refusal(self, reply: ClaimReply, request: _Request) -> None:
        if reply.get("why") == "no_descriptors":
            self._refused_at = time.monotonic()
            raise Unavailable(_NO_DESCRIPTORS, retry_after_s=_DESCRIPTORS_RETRY_S)
        if reply.get("why") == "draining":
            raise Draining(_DRAINING, retry_after_s=_DRAINING_RETRY_S)
        if why := too_many_pending(reply, self._settings, request.principal, request.ceilings):
            raise TooManyRequests(why, retry_after_s=_PENDING_RETRY_S)

    def _known(self, request: _Request) -> Submission | None:
        """The job that the key led to before. Raises: IdempotencyKeyReused."""
        found = self._store.keys.find(
            request.key or "",
            request.principal,
            kept_since=keys_kept_since(self._settings, time.time_ns()),
        )
        if found is None:
            return None
        job_id, stored_hash = found
        if stored_hash != request.key_hash and not self._is_same(job_id, request):
            key = (request.key or "")[:80]
            raise IdempotencyKeyReused(
                f"The Idempotency-Key {key!r} was used for another body, for job {job_id}."
            )
        return Submission(job_id, created=False)

    def _is_same(self, job_id: str, request: _Request) -> bool:
        """Whether the job was asked for by the same body, though its hash is of a release that
        compared another form.
        """
        record = self._store.get(job_id)
        return record is not None and is_stored_as(record.spec, request.key_hash or b"")
