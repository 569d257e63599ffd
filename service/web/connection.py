"""A client's connection: Sanic's protocol, with time limits that a slow sender can't extend.

There are three limits. Keep-alive: between two requests. Request: from its first byte until all of
it has come; for the first request of a connection, from the accept. Response: from then on.

A connection's memory counts: keep-alive connections and attached readers stay for hours, and are
most of what a quiet service holds.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Protocol

from sanic import Request
from sanic.exceptions import RequestTimeout, SanicException, ServiceUnavailable
from sanic.http import Stage
from sanic.server import HttpProtocol

from service.web.dead_peers import probe_when_silent
from service.web.exchange import Exchange
from service.web.flag import Flag
from service.web.strangers import Strangers
from service.web.unix_socket import peer_uid

# Seconds for a client that still sends to read its refusal: some round trips.
_LINGER_S: Final = 2.0
# Seconds: a timer may fire a little early, and is then set again.
_MIN_TIMER_S: Final = 0.01
# Turns of the loop before what has exceeded a limit is cancelled: its bytes may lie in the kernel,
# when the process stood still for as long as that. One reads them, one wakes the task, which runs.
_TURNS: Final = 3


class Upgraded(Protocol):
    """What speaks on a connection that is HTTP's no more."""

    def data_received(self, data: bytes) -> None: ...

    def refuse(self, reason: str) -> None:
        """End it: the client may not be here any more."""


class Connection(HttpProtocol):
    """Created by Sanic, one per connection."""

    HTTP_CLASS = Exchange
    __slots__ = ("_began", "_is_probed", "is_stranger", "websocket")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._can_write: Any = Flag(is_set=True)
        self._data_received: Any = Flag(is_set=False)
        self._began = monotonic()  # when the current request began to arrive; 0: none does
        self._is_probed = False
        self.is_stranger = True
        self.websocket: Upgraded | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        connection: Any = self.conn_info
        if self._unix:
            # Looked up now: a request may outlive its connection.
            connection.ctx.peer_uid = peer_uid(transport.get_extra_info("socket"))
        self._strangers.add(self, connection.client_ip)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_stranger:
            self._strangers.discard(self)
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        if self.websocket is not None:
            self.websocket.data_received(data)
            return
        # As Sanic's own, except that bytes don't extend the time limit.
        if not self._began:
            self._began = monotonic()
        self.recv_buffer += data
        if len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE and self.transport:
            self.transport.pause_reading()
        self._data_received.set()

    def upgrade(self, websocket: Upgraded) -> None:
        """What comes from now on, and what came behind the request, is given to `websocket`."""
        self.websocket = websocket
        if self.recv_buffer:
            came = bytes(self.recv_buffer)
            self.recv_buffer.clear()
            websocket.data_received(came)

    def mark_authenticated(self) -> None:
        """Its caller has authenticated: it no longer counts as a stranger's."""
        self.is_stranger = False
        self._strangers.discard(self)

    def evict(self) -> None:
        """Close it now, to make room for another one."""
        if self.transport is not None:
            self.transport.abort()

    def begin_request(self) -> None:
        """The previous request has its response; bytes of the next may be here already."""
        self._began = monotonic() if self.recv_buffer else 0.0

    def end_request(self) -> None:
        """All of its body has come: the response's time limit begins."""
        self._time = monotonic()

    async def linger(self, rest: int | None) -> None:
        """Discard the `rest` of a request that has its response; None: its length is unknown.

        The kernel resets a connection that is closed with unread data, and a client that still
        sends might never see its response.
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

    def check_timeouts(self, turns: int = _TURNS) -> None:
        """Called by a timer, which it sets again: cancel what has exceeded its limit, and still has
        after so many `turns` of the loop.
        """
        http: Any = self._http
        if self._task is None or http is None:
            return
        stage = http.stage
        # What would be raised, and is made only then: most looks find nothing.
        error: tuple[type[SanicException], str] | None = None
        if stage is Stage.IDLE and not self._began:
            end = self._time + self.keep_alive_timeout
        elif stage in (Stage.IDLE, Stage.REQUEST) or http.request_body:
            end, error = self._began + self.request_timeout, (RequestTimeout, "Request Timeout")
        else:
            end = max(self._time, self._began) + self.response_timeout
            error = (ServiceUnavailable, "Response Timeout")
        if (left := end - monotonic()) > 0:
            # Another, shorter limit may begin to count before this one ends.
            shortest = min(self.request_timeout, self.response_timeout, self.keep_alive_timeout)
            self._callback_check_timeouts: Any = self.loop.call_later(
                max(_MIN_TIMER_S, min(left, shortest / 2)), self.check_timeouts
            )
            return
        if turns:
            self._callback_check_timeouts = self.loop.call_soon(self.check_timeouts, turns - 1)
            return
        http.exception = None if error is None else error[0](error[1])
        self._task.cancel()

    @property
    def _strangers(self) -> Strangers:
        strangers: Strangers = self.app.ctx.strangers
        return strangers

    @property
    def can_write(self) -> Flag:
        """Set while the transport takes more to write, and once the client is gone."""
        flag: Flag = self._can_write
        return flag

    def probe_when_silent(self) -> None:
        """Have the kernel end it when its client is gone, from now on."""
        if not self._is_probed:
            self._is_probed = True
            probe_when_silent(self.transport)

    def pause_timeouts(self) -> None:
        """No time limit is checked until `resume_timeouts`."""
        timer: Any = self._callback_check_timeouts
        if timer is not None:
            timer.cancel()
            self._callback_check_timeouts = None

    def resume_timeouts(self) -> None:
        """Check time limits again, which count from now on. Does nothing on a lost connection."""
        if self.conn_info is not None and not self.conn_info.lost:
            self._time = monotonic()
            self.check_timeouts()


def connection_of(request: Request[Any, Any]) -> Connection:
    """The connection that the request came over."""
    stream: Any = request.stream
    connection: Connection = stream.protocol
    return connection
