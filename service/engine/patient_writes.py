"""Writing to the records when they can't be written just now: waiting outside of the event loop.

Another process that keeps the records locked is waited for a moment, and so is a write-ahead log
that has become longer than the checkpoints could keep it. Meanwhile the worker serves the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from service.engine.backoff import Backoff
from service.errors import RecordsLocked
from service.store import Store

# Seconds for which a lock is waited for: a checkpoint of our own takes some milliseconds of it.
_LOCKED_S: Final = 1.0
# Seconds for which a submission waits until a long log is short again.
_LONG_LOG_S: Final = 2.0
_FIRST_PAUSE_S: Final = 0.01
_LAST_PAUSE_S: Final = 0.1

T = TypeVar("T")


async def while_locked(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`begin`, again while another process has locked the records. Raises: as it does."""
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
    """`write`, which is all or nothing, in the same way."""

    async def begin() -> T:
        return write()

    return await while_locked(begin)


class LogKeeper:
    """Has the checkpoints of one worker made, one at a time; `spawn` begins and keeps a task."""

    def __init__(
        self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        self._checkpoints = store.checkpoints
        self._spawn = spawn
        self._running: asyncio.Task[None] | None = None

    def committed(self) -> None:
        """Something was stored: begin a checkpoint when one is due."""
        if self._checkpoints.is_due:
            self._run()

    async def wait_for_short_log(self) -> None:
        """Hold the caller back while the log is longer than the checkpoints, ours or those of
        another worker, could keep it; not for ever.
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
