"""Who waits for a job to change, and how they are woken.

A waiter subscribes first and reads the record then, so no change falls between the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Notices:
    """Waiters of this process, by job."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def subscribed(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each change of the job; the waiter clears it before it reads."""
        event = asyncio.Event()
        waiters = self._waiters.setdefault(job_id, set())
        waiters.add(event)
        try:
            yield event
        finally:
            waiters.discard(event)
            if not waiters and self._waiters.get(job_id) is waiters:
                del self._waiters[job_id]

    def wake(self, job_id: str) -> None:
        for event in self._waiters.get(job_id, ()):
            event.set()

    def wake_all(self) -> None:
        """Notices may have been missed: everybody reads again."""
        for job_id in list(self._waiters):
            self.wake(job_id)
