"""What Sanic uses of an `asyncio.Event`, in a tenth of its memory.

An `asyncio.Event` creates a deque at once, whose first block is 0.7 KB, and a connection has two of
them. Benchmark: `attached`.
"""

from __future__ import annotations

import asyncio
from typing import Literal


class Flag:
    """For one event loop. `is_up`: what `is_set` returns."""

    __slots__ = ("_waiters", "is_up")

    def __init__(self, *, is_set: bool) -> None:
        self.is_up = is_set
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self.is_up

    def set(self) -> None:
        """Wake every waiter. Until it is cleared, `wait` returns at once."""
        self.is_up = True
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self.is_up = False

    async def wait(self) -> Literal[True]:
        """Return once it is set, even if it is cleared again before the caller runs."""
        if self.is_up:
            return True
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
            if not self._waiters:
                self._waiters = None
        return True
