"""Long polls of this process: who waits for a job to change.

A waiter subscribes first and then reads the record, so it misses no change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Waiters:
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

    def has_state_waiters(self, job_id: str) -> bool:
        """Whether somebody waits for any change of the job."""
        waiters = self._waiters.get(job_id)
        return waiters is not None and not all(waiters.values())

    def notify(self, job_id: str, *, finished: bool) -> None:
        """The job changed."""
        for event, to_end in self._waiters.get(job_id, {}).items():
            if finished or not to_end:
                event.set()

    def notify_all(self) -> None:
        """Changes may have been missed: every waiter reads again."""
        for job_id in list(self._waiters):
            self.notify(job_id, finished=True)
