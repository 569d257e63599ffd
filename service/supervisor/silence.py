"""Service processes that say nothing any more, and are taken for dead.

Workers that can, send a `beat` every few seconds. One of which nothing is heard while another one
beats `_BEATS` times is silent. It is counted, not timed: when the machine or this process stood
still, everybody's beats stood still as well. With one worker nobody else could drive its jobs, and
nothing is judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from service.supervisor.connection import Connection

# Beats of another one, five seconds apart: between ten and fifteen seconds.
_BEATS: Final = 3


class Silence:
    """Counts; `drop` is called for who is silent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, drop: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._drop = drop
        self._beating: set[Connection] = set()
        self._is_due = False

    def joined(self, connection: Connection) -> None:
        """`connection` will beat."""
        self._beating.add(connection)

    def beat(self, connection: Connection) -> None:
        """`connection` has beaten."""
        for other in self._beating:
            if other is not connection:
                other.unheard[connection] = other.unheard.get(connection, 0) + 1
        if not self._is_due and self._silent(self._beating):
            # In the next turn of the loop: what the others have sent may be read in this one.
            self._is_due = True
            self._loop.call_soon(self._judge)

    def closed(self, connection: Connection) -> None:
        self._beating.discard(connection)

    def _judge(self) -> None:
        self._is_due = False
        for connection in self._silent(self._beating):
            self._drop(connection)

    @staticmethod
    def _silent(connections: Iterable[Connection]) -> list[Connection]:
        return [c for c in connections if max(c.unheard.values(), default=0) >= _BEATS]
