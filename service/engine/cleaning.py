"""Cleaning finished jobs: the record first, the files then."""

from __future__ import annotations

import time

from service.engine.patient_writes import stored
from service.engine.removal import Removal
from service.engine.waiters import Waiters
from service.settings import Settings
from service.store import Store


class Cleaning:
    """That of one worker; several may clean the same job, and one of them removes its files."""

    def __init__(
        self, settings: Settings, store: Store, waiters: Waiters, removal: Removal
    ) -> None:
        self._keeps_keys = settings.key_retention > 0
        self._store = store
        self._waiters = waiters
        self._removal = removal

    async def clean(self, job_ids: list[str]) -> list[str]:
        """Delete the records of those that are finished, and remove their files; which these are.

        Raises: InsufficientStorage, Unavailable; no record is deleted then.
        """

        def delete() -> list[str]:
            now = time.time_ns() if self._keeps_keys else None
            clean = self._store.finished.clean
            return [job_id for job_id in job_ids if clean(job_id, keep_key_from=now)]

        cleaned = await stored(lambda: self._store.atomically(delete))
        for job_id in cleaned:
            self._waiters.notify(job_id, finished=True)
        await self._removal.remove(cleaned)
        return cleaned

    async def retire(self, job_ids: list[str]) -> int:
        """The same for retention, which also tries again what couldn't be removed before."""
        cleaned = await self.clean(job_ids)
        await self._removal.try_again()
        return len(cleaned)
