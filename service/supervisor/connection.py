"""The supervisor's end of the connection of one service process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from service.host.event_log import log_event
from service.link.frames import Frames, ProtocolError, encode

if TYPE_CHECKING:
    from service.link.from_supervisor import FromSupervisor
    from service.link.to_supervisor import Role

# Bytes that are received at once: most messages have some hundreds. The loop's own way allocates
# 256 KiB for each read, by the kernel and back to it.
_READ_BYTES: Final = 64 << 10
# Unsent bytes after which a peer counts as dead: it reads nothing, and its jobs need a worker.
_MAX_BACKLOG_BYTES: Final = 64 << 20
# Seconds that a message which can wait is held back for another one: the shortest commands end
# within it, and each message by itself wakes the peer.
_WAIT_S: Final = 0.002


class Listener(Protocol):
    """What is called for each event of a connection."""

    def opened(self, connection: Connection) -> None:
        """A peer has connected."""

    def received(self, connection: Connection, message: Mapping[str, Any]) -> None:
        """An object with a `type` has come; nothing else about it is checked yet."""

    def closed(self, connection: Connection) -> None:
        """The peer is gone."""


# What was read last, whoever read it: it is taken out before the next read.
_received: Final = memoryview(bytearray(_READ_BYTES))


class Connection(asyncio.BufferedProtocol):
    """One service process."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._is_flush_due = False
        self._waiting: asyncio.TimerHandle | None = None
        self.role: Role | None = None  # None: the peer hasn't said hello
        self.pid = 0
        self.unheard: dict[Connection, int] = {}  # heartbeats of others since it was heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream server makes no other
        self._transport = transport
        self._listener.opened(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _received

    def buffer_updated(self, nbytes: int) -> None:
        if self.unheard:
            self.unheard.clear()
        try:
            for message in self._frames.feed(_received[:nbytes]):
                self._listener.received(self, message)
        except ProtocolError as exc:
            log_event("connection_dropped", pid=self.pid, error=repr(exc))
            self.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._listener.closed(self)

    def send(self, message: FromSupervisor, *, can_wait: bool = False) -> None:
        """Send with everything else of this turn of the loop: what happens together, as the end of
        a command and of its job, is one write, one wake-up and one transaction. What `can_wait`
        goes out with the next message, or in a moment; the order stays.
        """
        if self._transport is None or self._transport.is_closing():
            return
        self._unsent.append(encode(message))
        if self._is_flush_due:
            return
        if not can_wait:
            self._is_flush_due = True
            self._loop.call_soon(self.flush)
        elif self._waiting is None:
            self._waiting = self._loop.call_later(_WAIT_S, self.flush)

    def flush(self) -> None:
        """Send now what was said so far."""
        self._is_flush_due = False
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if not self._unsent:
            return
        data = b"".join(self._unsent)
        self._unsent.clear()
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MAX_BACKLOG_BYTES:
            log_event("connection_dropped", pid=self.pid, error="it reads nothing")
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
