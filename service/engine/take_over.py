"""What becomes of a claimed job that a dead supervisor, or a dead host, has left.

One whose first command was never dispatched runs now. One of which a command was dispatched may
have run, and the parent of its processes is gone: it is `killed`, reason `lost`, and never run
again. One that meanwhile has waited for longer than it may is `killed`, reason `queue-timeout`. One
whose record can't be read is `lost` with an `Error` that says so.
"""

from __future__ import annotations

import time
from signal import SIGTERM
from typing import Final

import structlog
from msgspec.structs import replace

from service.engine.claim import Claim
from service.engine.claim_message import is_overdue
from service.engine.events import damaged
from service.engine.live_job import LiveJob
from service.engine.record_writer import RecordWriter
from service.engine.session import reply_within
from service.errors import Unavailable
from service.jobs.record import JobRecord, Kill, signal_name
from service.jobs.spec import JobSpec
from service.jobs.states import FINISHED, Reason, State
from service.link.from_supervisor import OrphanedLogReply
from service.link.session import SupervisorSession
from service.store import Store, readable

# Seconds for the log of a job of a dead supervisor to be repaired; it may be long.
_CLOSE_LOG_S: Final = 60.0

_log = structlog.get_logger("jobrunner.engine")


class LogNotClosed(Unavailable):
    """The log of a job whose supervisor is dead can't be closed now."""


class TakeOver:
    """Decides on claimed jobs, one at a time, while their claims are open."""

    def __init__(self, store: Store, writer: RecordWriter) -> None:
        self._store = store
        self._writer = writer
        self.damaged = 0  # jobs that were ended as their records couldn't be read

    async def run(self, claim: Claim, session: SupervisorSession) -> None:
        """Let the job run, or end it, or leave the claim for nothing: the job is finished, or gone.

        Raises: LogNotClosed, Overtaken, InsufficientStorage, Unavailable; nothing is decided then.
        """
        # Read after the claim: until then another worker could have finished it.
        record = self._store.get(claim.job_id)
        if record is None:
            return
        record, spec = readable(record)
        if record.damage is not None:
            await self.lose(claim, session, record, record.damage)
        elif record.state not in FINISHED:
            await self._decide(claim, session, record, spec)

    async def lose(
        self, claim: Claim, session: SupervisorSession, record: JobRecord, why: str
    ) -> None:
        """End a job whose record can't be read or makes no sense.

        Raises: InsufficientStorage, Unavailable.
        """
        closed = await _close_log(claim, session)
        end, complete = closed.get("end_offset", 0), closed.get("output_complete", False)
        record = damaged(record, why, at=time.time_ns(), end=end, complete=complete)
        self._writer.end_damaged(record)
        _log.error("job_lost", job=record.id, why=why)
        self.damaged += 1
        claim.final_state = record.state

    async def _decide(
        self, claim: Claim, session: SupervisorSession, record: JobRecord, spec: JobSpec
    ) -> None:
        job = LiveJob(record, spec, has_slot=claim.has_slot)
        if record.dispatched >= 0:
            closed = await _close_log(claim, session)
            if not closed["ok"]:
                raise LogNotClosed(closed["why"])
            end, complete = closed["end_offset"], closed["output_complete"]
            job.lose(at=time.time_ns(), end=end, complete=complete)
            self._end(claim, job, record.state)
        elif record.kill is not None:
            job.kill_before_start(at=time.time_ns())
            self._end(claim, job, record.state)
        elif is_overdue(record, spec, now := time.time_ns()):
            job.record = replace(record, kill=_queue_timeout(spec, now))
            job.kill_before_start(at=now)
            self._end(claim, job, record.state)
        else:
            self._go_on(claim, job)

    def _end(self, claim: Claim, job: LiveJob, before: State) -> None:
        self._writer.update(job.record, before={job.record.id: before})
        _log.warning("job_ended_by_recovery", job=claim.job_id, reason=job.record.reason)
        claim.final_state = job.state

    def _go_on(self, claim: Claim, job: LiveJob) -> None:
        if job.has_slot:
            job.dispatch_first()
            self._writer.update(job.record, before={job.record.id: job.state})
            job.stored()
        claim.own(job)
        _log.info("job_recovered", job=claim.job_id)


async def _close_log(claim: Claim, session: SupervisorSession) -> OrphanedLogReply:
    async with reply_within(_CLOSE_LOG_S):
        return await session.request({"type": "close_orphaned_log", "job": claim.job_id})


def _queue_timeout(spec: JobSpec, at: int) -> Kill:
    return Kill(
        reason=Reason.QUEUE_TIMEOUT,
        requested_at=at,
        signal=signal_name(SIGTERM),
        grace_s=spec.grace_s,
    )
