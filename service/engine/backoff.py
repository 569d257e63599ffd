"""The time between two tries of what failed: short at first, doubled up to a bound."""

from __future__ import annotations

import asyncio


class Backoff:
    """One spell of failures at a time; `reset` when it is over."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    @property
    def is_at_most(self) -> bool:
        """Whether the tries have failed for about as long as the bound."""
        return self._next_s >= self._most_s

    def reset(self) -> None:
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Seconds until the next try."""
        seconds, self._next_s = self._next_s, min(self._most_s, 2 * self._next_s)
        return seconds

    async def pause(self) -> None:
        """Until the next try."""
        passed = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(self.next_s(), passed.set)
        try:
            await passed.wait()
        finally:
            timer.cancel()
