"""Verbs run in tasks of the worker: a caller that goes away cancels its response, not the work."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from service.engine.known_jobs import KnownJobs
from service.engine.tasks import OwnedTasks
from service.errors import Unavailable

T = TypeVar("T")


class Verbs:
    """Those of one worker: it takes none once it closes."""

    def __init__(self, tasks: OwnedTasks, jobs: KnownJobs) -> None:
        self._tasks = tasks
        self._jobs = jobs

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Raises: Unavailable, when the worker closes."""
        try:
            self._jobs.check_open()
        except Unavailable:
            work.close()
            raise
        return await self._tasks.run(work, name="verb")
