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
        self._waiters: dict[str, dict[asyncio.Event, bool]] = {}  # and whether only the end counts

    @contextmanager
    def subscribed(self, job_id: str, *, to_end: bool) -> Iterator[asyncio.Event]:
        """An event that is set at each change of the job, or (`to_end`) when it is finished; the
        waiter clears it before it reads.
        """
        event = asyncio.Event()
        waiters = self._waiters.setdefault(job_id, {})
        waiters[event] = to_end
        try:
            yield event
        finally:
            del waiters[event]
            if not waiters and self._waiters.get(job_id) is waiters:
                del self._waiters[job_id]

    def awaits_more_than_end(self, job_id: str) -> bool:
        """Whether somebody waits for any change of the job."""
        waiters = self._waiters.get(job_id)
        return waiters is not None and not all(waiters.values())

    def wake(self, job_id: str, *, finished: bool) -> None:
        """The job changed."""
        for event, to_end in self._waiters.get(job_id, {}).items():
            if finished or not to_end:
                event.set()

    def wake_all(self) -> None:
        """Notices may have been missed: everybody reads again."""
        for job_id in list(self._waiters):
            self.wake(job_id, finished=True)
