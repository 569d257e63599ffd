"""A client's connection: Sanic's protocol, with limits of time that bytes don't extend, and with
flags that cost little while nobody waits for them.

A connection may be silent between two requests; a request has its time, from its first byte (the
first one of a connection: from the beginning of that) until all of it is there; so has an answer.

Most of what a quiet service holds in memory is one connection's part many times over: keep-alive
connections and attached readers wait for hours.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Literal

from sanic import Request
from sanic.exceptions import RequestTimeout, SanicException, ServiceUnavailable
from sanic.http import Stage
from sanic.server import HttpProtocol

from service.web.exchange import Exchange
from service.web.strangers import Strangers

# Seconds for a client to take its refusal while it still sends: some round trips.
_LINGER_S: Final = 2.0
# Seconds: a timer may be a little early, and is then set once more.
_SHORTEST_S: Final = 0.01


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

    HTTP_CLASS = Exchange
    __slots__ = ("_began", "is_stranger")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._can_write: Any = Flag(is_set=True)
        self._data_received: Any = Flag(is_set=False)
        self._began = monotonic()  # of the request that is coming; 0: nothing comes
        self.is_stranger = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        self._strangers.add(self, self.conn_info.client_ip)  # type: ignore[union-attr]

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_stranger:
            self._strangers.discard(self)
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        # As Sanic's own, but that the bytes win no time.
        if not self._began:
            self._began = monotonic()
        self.recv_buffer += data
        if len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE and self.transport:
            self.transport.pause_reading()
        self._data_received.set()

    def prove(self) -> None:
        """Who calls is known: the connection counts no more as one of strangers."""
        self.is_stranger = False
        self._strangers.discard(self)

    def evict(self) -> None:
        """Close it now, for another one."""
        if self.transport is not None:
            self.transport.abort()

    def begin_request(self) -> None:
        """The one before is answered; the next one may have begun already."""
        self._began = monotonic() if self.recv_buffer else 0.0

    def end_request(self) -> None:
        """All of its body is there: the time of its answer begins."""
        self._time = monotonic()

    async def linger(self, rest: int | None) -> None:
        """Throw away what still comes of a request that is answered, `rest` bytes of it if that is
        known. If the connection were closed at once the kernel would reset it, and a client that is
        still sending might never see its answer.
        """
        transport: Any = self.transport
        if transport is None or transport.is_closing():
            return
        left = self.request_max_size if rest is None else rest
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                if transport.can_write_eof():
                    transport.write_eof()
                while (left := left - len(self.recv_buffer)) > 0:
                    self.recv_buffer.clear()
                    await self.receive_more()  # type: ignore[no-untyped-call]

    def check_timeouts(self) -> None:
        """By a timer, again and again: end what has taken too long."""
        http: Any = self._http
        if self._task is None or http is None:
            return
        stage = http.stage
        if stage is Stage.HANDLER and http.upgrade_websocket:
            return
        error: SanicException | None = None
        if stage is Stage.IDLE and not self._began:
            end = self._time + self.keep_alive_timeout
        elif stage in (Stage.IDLE, Stage.REQUEST) or http.request_body:
            end, error = self._began + self.request_timeout, RequestTimeout("Request Timeout")
        else:
            end = max(self._time, self._began) + self.response_timeout
            error = ServiceUnavailable("Response Timeout")
        if (left := end - monotonic()) > 0:
            # Another limit may begin to count meanwhile, and isn't to be missed.
            shortest = min(self.request_timeout, self.response_timeout, self.keep_alive_timeout)
            self._callback_check_timeouts: Any = self.loop.call_later(
                max(_SHORTEST_S, min(left, shortest / 2)), self.check_timeouts
            )
            return
        http.exception = error
        self._task.cancel()

    @property
    def _strangers(self) -> Strangers:
        strangers: Strangers = self.app.ctx.strangers
        return strangers

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
            self.check_timeouts()


def connection_of(request: Request[Any, Any]) -> Connection:
    """What the request came over."""
    stream: Any = request.stream
    connection: Connection = stream.protocol
    return connection
