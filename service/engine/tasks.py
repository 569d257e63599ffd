"""Background tasks: each belongs to an `OwnedTasks`, and no failure of one is lost.

An unexpected exception is logged with its traceback. A kept task is then started again, after a
delay that doubles, until it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import structlog

from service.engine.backoff import Backoff
from service.errors import JobrunnerError

# Seconds until a failed task is started again: the first time, and at most. A task that fails at
# once each time logs one line a minute.
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 60.0

T = TypeVar("T")
_log = structlog.get_logger("jobrunner.tasks")


class OwnedTasks:
    """Belongs to the loop that runs when it is used."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kept: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task that runs to its end; an exception in it is logged."""
        task = self._begun(work, name)
        task.add_done_callback(_tell)
        return task

    async def run(self, work: Coroutine[Any, Any, T], *, name: str) -> T:
        """What `work` returns or raises. A cancelled caller returns at once: the work goes on, and
        an exception in it is logged.
        """
        task = self._begun(work, name)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                task.add_done_callback(_tell)
            raise

    def keep(self, make: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        """Run what `make` makes until it is cancelled; started again when it fails."""
        task = asyncio.get_running_loop().create_task(_kept(make, name), name=name)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    async def cancel_kept(self) -> None:
        """Cancel the kept tasks, and wait until they have ended."""
        kept = list(self._kept)
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)

    async def cancel(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        tasks = [*self._kept, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def finish(self) -> None:
        """Wait until all others have ended, and those that they start meanwhile."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begun(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _kept(make: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        try:
            await make()
            return
        except Exception as exc:  # noqa: BLE001 - the boundary of a task: nobody else would see it
            if loop.time() - begun > _LAST_RETRY_S:
                backoff.reset()  # it has worked for a while
            _log.error("task_failed", task=name, retry_s=backoff.seconds, exc_info=exc)
        await backoff.pause()


def _tell(task: asyncio.Task[Any]) -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, JobrunnerError) and error.status != 500:
        _log.error("task_failed", task=task.get_name(), error=error.detail)
    else:
        _log.error("task_failed", task=task.get_name(), exc_info=error)
