"""Writes that wait without blocking the event loop.

A write waits for a moment while another process has locked the records, and a submission while the
write-ahead log is longer than the checkpoints could keep it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from service.engine.backoff import Backoff
from service.errors import RecordsLocked
from service.store import Store

# Seconds to wait for a lock: one of our own checkpoints holds it for some milliseconds.
_LOCKED_S: Final = 1.0
# Seconds that a submission waits until a long log is short again.
_LONG_LOG_S: Final = 2.0
_FIRST_PAUSE_S: Final = 0.01
_LAST_PAUSE_S: Final = 0.1

T = TypeVar("T")


async def while_locked(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `begin` returns or raises; repeated while another process has locked the records."""
    backoff = Backoff(_FIRST_PAUSE_S, _LAST_PAUSE_S)
    until = time.monotonic() + _LOCKED_S
    while True:
        try:
            return await begin()
        except RecordsLocked:
            if time.monotonic() > until:
                raise
        await backoff.pause()


async def stored(write: Callable[[], T]) -> T:
    """The same for `write`, which is all or nothing."""

    async def begin() -> T:
        return write()

    return await while_locked(begin)


class LogKeeper:
    """Runs the checkpoints of one worker, one at a time; `spawn` starts and keeps a task."""

    def __init__(
        self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        self._checkpoints = store.checkpoints
        self._spawn = spawn
        self._running: asyncio.Task[None] | None = None

    def committed(self) -> None:
        """Something was stored: start a checkpoint when one is due."""
        if self._checkpoints.is_due:
            self._run()

    async def wait_for_short_log(self) -> None:
        """Wait, for a bounded time, while the log is longer than the checkpoints of all workers
        could keep it.
        """
        backoff = Backoff(_FIRST_PAUSE_S, _LAST_PAUSE_S)
        until = time.monotonic() + _LONG_LOG_S
        while self._checkpoints.is_log_long and time.monotonic() < until:
            await asyncio.wait([self._run()], timeout=_LONG_LOG_S)
            await backoff.pause()

    def _run(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._running = self._spawn(asyncio.to_thread(self._checkpoints.run))
        return self._running
