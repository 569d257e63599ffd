"""Cleaning finished jobs: what they have left running is ended, then the working directory goes,
then the record, then the service's files.

A job of which a process can't be ended or a file can't be removed keeps its record, so that
somebody finds it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from service.engine.kept import KeptProcesses
from service.engine.patient_writes import stored
from service.engine.removal import Removal
from service.engine.waiters import Waiters
from service.jobs.states import FINISHED
from service.settings import Settings
from service.store import Leftover, Store

# How many jobs with leftovers are tried again with those that retention cleans.
_TRIED_AGAIN: Final = 10
_STUCK: Final = Leftover("work", "a process that the job has left running can't be ended")


class Cleaning:
    """That of one worker; several may clean the same job, and one of them removes its files."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        waiters: Waiters,
        removal: Removal,
        kept: KeptProcesses,
    ) -> None:
        self._keeps_keys = settings.key_retention > 0
        self._store = store
        self._waiters = waiters
        self._removal = removal
        self._kept = kept

    async def clean(self, job_ids: list[str]) -> list[str]:
        """Remove the files and delete the records of those that are finished, and of which no file
        is left; which.

        Raises: InsufficientStorage, Unavailable; no record is deleted then.
        """
        job_ids = await self._without_files(job_ids)

        def delete() -> list[str]:
            now = time.time_ns() if self._keeps_keys else None
            clean = self._store.finished.clean
            return [job_id for job_id in job_ids if clean(job_id, keep_key_from=now)]

        cleaned = await stored(lambda: self._store.atomically(delete))
        for job_id in cleaned:
            self._waiters.notify(job_id, finished=True)
        await self._removal.remove(cleaned)
        return cleaned

    async def _without_files(self, job_ids: list[str]) -> list[str]:
        """Those that are finished and have no working directory any more."""
        left: dict[str, Leftover] = {}
        states = {job_id: self._store.state_of(job_id) for job_id in job_ids}
        finished = [job_id for job_id, state in states.items() if state in FINISHED]
        left |= await self._still_running(finished)
        for job_id in finished:
            if job_id not in left and (found := await self._removal.empty(job_id)) is not None:
                left[job_id] = found
        if left:
            at = time.time_ns()
            await stored(lambda: self._store.finished.files_left(left, at=at))
        return [job_id for job_id in finished if job_id not in left]

    async def _still_running(self, finished: list[str]) -> dict[str, Leftover]:
        """Those whose processes can't be ended; the others have none any more."""
        keeping = [job_id for job_id in finished if self._kept.has(job_id)]
        are_gone = await asyncio.gather(*map(self._kept.clean, keeping))
        stuck = [job_id for job_id, is_gone in zip(keeping, are_gone, strict=True) if not is_gone]
        return dict.fromkeys(stuck, _STUCK)

    async def retire(self, job_ids: list[str]) -> int:
        """The same for retention, which also tries again what couldn't be removed before."""
        again = self._store.finished.with_leftovers(_TRIED_AGAIN)
        cleaned = await self.clean([*job_ids, *again])
        await self._removal.try_again()
        return len(cleaned)
