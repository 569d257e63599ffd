"""Changing the priority of a pending job: in the run queue first, and in its record then.

The supervisor decides whether the job still waits, and numbers the changes; of two that are made at
the same time the record keeps the one that the queue has.
"""

from __future__ import annotations

from service.engine.patient_writes import stored
from service.engine.session import KeptSession, reply_within
from service.errors import JobNotPending, Unavailable, UnknownJob
from service.jobs.states import State
from service.link.capabilities import SET_PRIORITY
from service.link.session import REPLY_TIMEOUT_S
from service.store import Store


class Priorities:
    """Those that callers of one worker change."""

    def __init__(self, store: Store, session: KeptSession) -> None:
        self._store = store
        self._session = session

    async def change(self, job_id: str, priority: int) -> None:
        """Raises: UnknownJob, JobNotPending, InsufficientStorage, Unavailable."""
        self._check_pending(job_id)
        async with reply_within(REPLY_TIMEOUT_S):
            session = await self._session.current()
            if SET_PRIORITY not in self._session.hello["capabilities"]:
                raise Unavailable(
                    "The supervisor that runs is of an older release, which can't change a priority"
                    " (`jobrunner supervisor upgrade` makes it the installed one)."
                )
            reply = await session.request(
                {"type": "set_priority", "job": job_id, "priority": priority}
            )
        if reply["ok"]:
            changes = reply["changes"]
            await stored(lambda: self._store.set_priority(job_id, priority, changes))
        elif reply["why"] == "not_waiting":
            self._check_pending(job_id)
            raise JobNotPending(job_id, "starting")
        else:
            self._check_pending(job_id)
            raise Unavailable(f"The job {job_id} is being recovered.")

    def _check_pending(self, job_id: str) -> None:
        state = self._store.state_of(job_id)
        if state is None:
            raise UnknownJob(job_id)
        if state is not State.PENDING:
            raise JobNotPending(job_id, state.value)
