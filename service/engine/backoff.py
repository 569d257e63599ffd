"""The time between two attempts: short at first, doubled after each failure up to a maximum."""

from __future__ import annotations

import asyncio


class Backoff:
    """`reset` after a success."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    @property
    def seconds(self) -> float:
        """The next delay."""
        return self._next_s

    @property
    def is_at_most(self) -> bool:
        """Whether the next pause is the longest."""
        return self._next_s >= self._most_s

    def reset(self) -> None:
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Seconds until the next attempt."""
        seconds, self._next_s = self._next_s, min(self._most_s, 2 * self._next_s)
        return seconds

    async def pause(self) -> None:
        """Wait until the next attempt."""
        passed = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(self.next_s(), passed.set)
        try:
            await passed.wait()
        finally:
            timer.cancel()
