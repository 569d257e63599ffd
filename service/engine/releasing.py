"""Releasing a job that is held: in the run queue first, and in its record then.

The supervisor tells the worker that drives the job, which stores it. So a job whose release was
answered stays released, whatever is killed from then on; one that wasn't answered may be released
again.
"""

from __future__ import annotations

from service.engine.known_jobs import KnownJobs
from service.engine.session import KeptSession, reply_within
from service.errors import JobNotHeld, Unavailable, UnknownJob
from service.jobs.states import State
from service.link.capabilities import HOLD
from service.link.session import REPLY_TIMEOUT_S
from service.store import readable


class Releasing:
    """The releases that callers of one worker ask for."""

    def __init__(self, jobs: KnownJobs, session: KeptSession) -> None:
        self._jobs = jobs
        self._session = session

    async def release(self, job_id: str) -> None:
        """See `Engine.release`."""
        if self._is_done(job_id):
            return
        async with reply_within(REPLY_TIMEOUT_S):
            session = await self._session.current()
            if HOLD not in self._session.hello["capabilities"]:
                raise Unavailable(
                    "The supervisor that runs is of an older release, which holds no jobs"
                    " (`jobrunner supervisor upgrade` makes it the installed one)."
                )
            reply = await session.request({"type": "unhold", "job": job_id})
            if not reply["ok"] and not self._is_done(job_id):
                raise Unavailable(f"The job {job_id} is being recovered.")
            await self._jobs.wait_until(job_id, lambda: self._is_over(job_id), to_end=False)
        self._is_done(job_id)  # or it was killed

    def _is_over(self, job_id: str) -> bool:
        """Whether nothing is left to wait for."""
        try:
            return self._is_done(job_id)
        except (JobNotHeld, UnknownJob):
            return True  # killed meanwhile, and perhaps cleaned

    def _is_done(self, job_id: str) -> bool:
        """Raises: UnknownJob, JobNotHeld; Unavailable."""
        record = self._jobs.show(job_id)
        _, spec = readable(record)
        if not spec.hold:
            raise JobNotHeld(job_id, "it was submitted without Hold")
        if not record.is_released and record.state is not State.PENDING:
            raise JobNotHeld(job_id, f"it is {record.state.value}")
        return record.is_released
