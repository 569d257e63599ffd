"""Workers that are silent count as dead.

A worker sends a `heartbeat` every few seconds. It is silent when nothing is received from it while
another one sends `_HEARTBEATS`. They are counted, not timed: when the machine or this process stood
still, all heartbeats stood still as well. With one worker nobody else could drive its jobs, so it
is never silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from service.supervisor.connection import Connection

# Of another worker, five seconds apart: between ten and fifteen seconds.
_HEARTBEATS: Final = 3


class SilenceDetector:
    """Counts heartbeats; `drop` is called with each connection that is silent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, drop: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._drop = drop
        self._workers: set[Connection] = set()
        self._is_due = False

    def joined(self, connection: Connection) -> None:
        """`connection` sends heartbeats from now on."""
        self._workers.add(connection)

    def heartbeat(self, connection: Connection) -> None:
        """`connection` has sent one."""
        for other in self._workers:
            if other is not connection:
                other.unheard[connection] = other.unheard.get(connection, 0) + 1
        if not self._is_due and self._silent(self._workers):
            # In the next turn of the loop: what the others have sent may be read in this one.
            self._is_due = True
            self._loop.call_soon(self._drop_silent)

    def closed(self, connection: Connection) -> None:
        self._workers.discard(connection)

    def _drop_silent(self) -> None:
        self._is_due = False
        for connection in self._silent(self._workers):
            self._drop(connection)

    @staticmethod
    def _silent(connections: Iterable[Connection]) -> list[Connection]:
        return [c for c in connections if max(c.unheard.values(), default=0) >= _HEARTBEATS]
