"""The timers of one job on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.supervisor.job.effects import Timer


class Timers:
    """Each timer runs at most once at a time. `on_fired` is called with the one that fires.

    The loop runs what is due before it hears of what happened meanwhile. So `look` is called first:
    it tells of that, and may disarm the timer.
    """

    __slots__ = ("_handles", "_look", "_loop", "_on_fired")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_fired: Callable[[Timer], None],
        look: Callable[[], object] = lambda: None,
    ) -> None:
        self._loop = loop
        self._on_fired = on_fired
        self._look = look
        self._handles: dict[Timer, asyncio.TimerHandle] = {}

    def arm(self, timer: Timer, seconds: float) -> None:
        """Have it fire in so many seconds; one that is armed is moved."""
        self.disarm(timer)
        self._handles[timer] = self._loop.call_later(seconds, self._fire, timer)

    def disarm(self, timer: Timer) -> None:
        """It doesn't fire any more; nothing happens if it isn't armed."""
        if (handle := self._handles.pop(timer, None)) is not None:
            handle.cancel()

    def clear(self) -> None:
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def snapshot(self) -> dict[Timer, float]:
        """When each of them fires, by the loop's clock, which goes on over an exec."""
        return {timer: handle.when() for timer, handle in self._handles.items()}

    def resume(self, snapshot: dict[Timer, float]) -> None:
        for timer, when in snapshot.items():
            self._handles[timer] = self._loop.call_at(when, self._fire, timer)

    def _fire(self, timer: Timer) -> None:
        fired = self._handles[timer]
        self._look()
        if self._handles.get(timer) is fired:
            del self._handles[timer]
            self._on_fired(timer)
