"""What becomes of live jobs that no supervisor knows: theirs is dead, or the box was restarted.

One whose start was never asked for runs now. One whose start was asked for may have run, and its
processes' parent is gone: it is `killed`, reason `lost`, and never run again. One that meanwhile
has waited for longer than it may is `killed`, reason `queue-timeout`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from signal import SIGTERM

import structlog
from msgspec.structs import replace

from service.engine.claims import claim_again, is_overdue
from service.engine.counting import Counting
from service.engine.owner import Owner
from service.engine.progress import killed_before_start, lost
from service.jobs.errors import JobrunnerError, Unavailable
from service.jobs.lifecycle import FINISHED, Reason
from service.jobs.record import JobRecord, Kill, signal_name
from service.jobs.spec import JobSpec
from service.kinds.submission import decode_spec
from service.settings import Settings
from service.store import Store
from service.supervisor.protocol import Message

_log = structlog.get_logger("jobrunner.engine")


class Recovery:
    """Claims what is live in the store and in no register; workers may do so at the same time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        owner: Owner,
        request: Callable[[Message], Awaitable[Message]],
        counting: Counting,
    ) -> None:
        self._settings = settings
        self._store = store
        self._owner = owner
        self._request = request
        self._counting = counting

    async def run(self, *, registered: set[str]) -> None:
        """`registered`: what the supervisor knew when it said hello.

        Raises: Unavailable, NoRoom.
        """
        for job_id in self._store.live_ids():
            if job_id in registered:
                continue
            record = self._store.get(job_id)
            if record is None:
                continue
            self._owner.claiming(job_id)
            reply = await self._request(claim_again(record, decode_spec(record.spec)))
            if reply["ok"]:
                try:
                    await self.take_over(job_id, has_turn=reply["turn"])
                except JobrunnerError:
                    self._owner.give_up(job_id)  # for the next run: a claim that is kept is refused
                    raise
            else:
                self._owner.not_claimed(job_id)  # another worker was faster, or it is ours already

    async def take_over(self, job_id: str, *, has_turn: bool) -> None:
        """Let a job that was claimed run, or end it. Raises: Unavailable, NoRoom."""
        # Read after the claim: until then another worker could have finished it.
        record = self._store.get(job_id)
        if record is None or record.state in FINISHED:
            self._owner.give_up(job_id)
        elif record.asked >= 0:
            buried = await self._request({"t": "bury", "job": job_id})
            if not buried["ok"]:
                raise Unavailable(buried["why"])
            self._end(
                lost(record, at=time.time_ns(), end=buried["end"], complete=buried["complete"])
            )
        elif record.kill is not None:
            self._end(killed_before_start(record, at=time.time_ns()))
        else:
            self._go_on(record, decode_spec(record.spec), has_turn=has_turn)

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
            record = replace(record, asked=0)
            self._store.update(record)
        self._owner.own(record, spec, has_turn=has_turn)
        _log.info("job_recovered", job=record.id)

    def _end(self, record: JobRecord) -> None:
        self._counting.update(record)
        _log.warning("job_ended_by_recovery", job=record.id, reason=record.reason)
        self._owner.ended(record.id, record.state)
