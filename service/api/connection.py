"""A client's connection: Sanic's protocol, with flags that cost little while nobody waits for them.

Most of what a quiet service holds in memory is one connection's part many times over: keep-alive
connections and attached readers wait for hours.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Literal

from sanic import Request
from sanic.server import HttpProtocol


class Flag:
    """What Sanic uses of an `asyncio.Event`, in a tenth of its memory: that one makes a deque when
    it is made, whose first block is 0.7 KB. For one event loop. `is_up`: what `is_set` tells.
    """

    __slots__ = ("_waiters", "is_up")

    def __init__(self, *, is_set: bool) -> None:
        self.is_up = is_set
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self.is_up

    def set(self) -> None:
        """Let everybody go on who waits, and whoever comes, until it is cleared."""
        self.is_up = True
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self.is_up = False

    async def wait(self) -> Literal[True]:
        """Return once it is set, even if it is cleared again before this goes on."""
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


class Connection(HttpProtocol):
    """One in each connection; made by Sanic."""

    __slots__ = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._can_write: Any = Flag(is_set=True)
        self._data_received: Any = Flag(is_set=False)

    @property
    def can_write(self) -> Flag:
        """Set while the client takes what is written, and once it is gone."""
        flag: Flag = self._can_write
        return flag

    def pause_timeouts(self) -> None:
        """No time limit is looked at until `resume_timeouts`."""
        timer: Any = self._callback_check_timeouts
        if timer is not None:
            timer.cancel()
            self._callback_check_timeouts = None

    def resume_timeouts(self) -> None:
        """Look at the time limits again, which count from now on. Once the connection is lost there
        is nothing to look at.
        """
        if self.conn_info is not None and not self.conn_info.lost:
            self._time = monotonic()
            self.check_timeouts()  # type: ignore[no-untyped-call]


def connection_of(request: Request) -> Connection:
    """What the request came over."""
    stream: Any = request.stream
    connection: Connection = stream.protocol
    return connection
