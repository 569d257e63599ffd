"""Heartbeats: what tells the readers of a silent log that their stream is alive.

One timer for all streams of a worker. It runs only while there is one that wants to be told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HEARTBEAT_S", "Beat", "KeepAlive"]

HEARTBEAT_S = 15.0
"""Seconds between two: proxies end a stream that is silent for a minute, some after 30 s."""

Beat = Callable[[int], None]
"""Told the time of a heartbeat, in nanoseconds since 1970."""


class KeepAlive:
    """For one event loop."""

    def __init__(self, interval_s: float = HEARTBEAT_S) -> None:
        self._interval_s = interval_s
        self._beats: set[Beat] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, beat: Beat) -> None:
        """Have `beat` called at every heartbeat; adding it again does nothing."""
        self._beats.add(beat)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)

    def discard(self, beat: Beat) -> None:
        """Not any more; doing it again does nothing."""
        self._beats.discard(beat)

    @contextmanager
    def during(self, beat: Beat) -> Iterator[None]:
        """Have `beat` called within the block."""
        self.add(beat)
        try:
            yield
        finally:
            self.discard(beat)

    def close(self) -> None:
        """Stop; doing it again does nothing."""
        self._beats.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now_ns = time.time_ns()
        for beat in list(self._beats):
            beat(now_ns)
        if self._beats:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)
