"""What becomes of live jobs that no supervisor knows: theirs is dead, or the host was restarted.

One whose start was never asked for runs now. One whose start was asked for may have run, and its
processes' parent is gone: it is `killed`, reason `lost`, and never run again. One that meanwhile
has waited for longer than it may is `killed`, reason `queue-timeout`. One whose record can't be
read is `lost` with an `Error` that says so.
"""

from __future__ import annotations

import time
from signal import SIGTERM

import structlog
from msgspec.structs import replace

from service.engine.claim_message import is_overdue, kill_message, reclaim_message
from service.engine.events import killed_before_start, lost
from service.engine.owner import Owner
from service.engine.record_writer import RecordWriter
from service.errors import JobrunnerError, Unavailable
from service.jobs.lifecycle import FINISHED, Reason, State
from service.jobs.record import JobRecord, Kill, signal_name
from service.jobs.spec import JobSpec
from service.link.session import Requests
from service.settings import Settings
from service.store import Overtaken, Store, readable

_log = structlog.get_logger("jobrunner.engine")


class _LogNotClosed(Unavailable):
    """The log of a job whose supervisor is dead can't be closed now."""


class Recovery:
    """Claims what is live in the store and in no register; workers may do so at the same time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        owner: Owner,
        request: Requests,
        writer: RecordWriter,
    ) -> None:
        self._settings = settings
        self._store = store
        self._owner = owner
        self._request = request
        self._writer = writer
        self.damaged = 0  # jobs that were ended as their records couldn't be read

    async def run(self, *, registered: set[str]) -> None:
        """`registered`: what the supervisor knew when it said hello. A job that can't be taken over
        stops no other.

        Raises: Unavailable, InsufficientStorage: to be run again.
        """
        left: JobrunnerError | None = None
        for seq, job_id in self._store.unfinished():
            if job_id in registered or self._owner.drives(job_id):
                continue
            try:
                await self._recover(seq, job_id)
            except _LogNotClosed as exc:
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
                    await self._claim_and_lose(record, f"This job can't be taken over: {exc!r}.")
        await self.carry_out_kills()
        if left is not None:
            raise left

    async def _recover(self, seq: int, job_id: str) -> None:
        record = self._store.get_numbered(seq)
        if record is None or (record.state in FINISHED and record.damage is None):
            return
        record, spec = readable(record)
        if record.damage is not None:
            await self._claim_and_lose(record, record.damage)
            return
        self._owner.claiming(job_id)
        try:
            reply = await self._request(reclaim_message(record, spec))
        except BaseException:
            self._owner.not_claimed(job_id)
            raise
        if not reply["ok"]:
            self._owner.not_claimed(job_id)  # another worker was faster
            return
        try:
            await self.take_over(job_id, has_turn=reply["has_slot"])
        except BaseException:
            self._owner.give_up(job_id)  # for the next run: a claim that is kept is refused
            raise

    async def carry_out_kills(self) -> None:
        """Kills that were recorded by who then couldn't ask the supervisor for them."""
        for job_id, kill in self._store.kills.pending():
            await self._request(kill_message(job_id, kill))

    async def take_over(self, job_id: str, *, has_turn: bool) -> None:
        """Let a job that was claimed run, or end it. Raises: Unavailable, InsufficientStorage."""
        # Read after the claim: until then another worker could have finished it.
        record = self._store.get(job_id)
        if record is None:
            self._owner.give_up(job_id)
            return
        record, spec = readable(record)
        if record.damage is not None:
            await self._lose(record, record.damage)
        elif record.state in FINISHED:
            self._owner.give_up(job_id)
        elif record.dispatched >= 0:
            closed = await self._request({"type": "close_orphaned_log", "job": job_id})
            if not closed["ok"]:
                raise _LogNotClosed(closed["why"])
            end, complete = closed["end_offset"], closed["output_complete"]
            self._end(lost(record, at=time.time_ns(), end=end, complete=complete))
        elif record.kill is not None:
            self._end(killed_before_start(record, at=time.time_ns()))
        else:
            self._go_on(record, spec, has_turn=has_turn)

    async def _claim_and_lose(self, record: JobRecord, why: str) -> None:
        reply = await self._request({"type": "claim", "job": record.id, "stored": True})
        if reply["ok"]:
            await self._lose(record, why)

    async def _lose(self, record: JobRecord, why: str) -> None:
        """End a job that was claimed, and whose record can't be read or makes no sense."""
        closed = await self._request({"type": "close_orphaned_log", "job": record.id})
        self._writer.end_damaged(
            lost(
                record,
                at=time.time_ns(),
                end=closed.get("end_offset", 0),
                complete=closed.get("output_complete", False),
                error=why,
            )
        )
        _log.error("job_lost", job=record.id, why=why)
        self.damaged += 1
        self._owner.ended(record.id, State.KILLED)

    def _go_on(self, record: JobRecord, spec: JobSpec, *, has_turn: bool) -> None:
        now = time.time_ns()
        if is_overdue(record, spec, now):
            kill = Kill(
                reason=Reason.QUEUE_TIMEOUT,
                requested_at=now,
                signal=signal_name(SIGTERM),
                grace_s=spec.grace_s,
            )
            self._end(killed_before_start(replace(record, kill=kill), at=now))
            return
        if has_turn:
            record = replace(record, dispatched=0)
            self._store.update(record, before=record.state)
            record = replace(record, revision=record.revision + 1)
        self._owner.own(record, spec, has_turn=has_turn)
        _log.info("job_recovered", job=record.id)

    def _end(self, record: JobRecord) -> None:
        self._writer.update(record)
        _log.warning("job_ended_by_recovery", job=record.id, reason=record.reason)
        self._owner.ended(record.id, record.state)
