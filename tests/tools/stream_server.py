"""One streaming response over a real connection in this loop: both ends of it."""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from log_readers import turn
from sanic import Sanic
from sanic.models.server_types import Signal

from service.metrics.series import Metrics
from service.web.connection import Connection
from service.web.open_streams import OpenStreams
from service.web.request import Request
from service.web.strangers import Strangers
from service.web.streaming import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_numbers = itertools.count()


class StreamServer:
    """Answers each request with a stream that the test writes.

    Attributes:
        streams: the responses that have begun, in order.
        ends: for each request, an exception with which its response is to be left, or None.
        left: what leaving the response raised, or None.
    """

    def __init__(self, length: int | None, status: int) -> None:
        self._length = length
        self._status = status
        self.streams: asyncio.Queue[StreamingResponse] = asyncio.Queue()
        self.ends: asyncio.Queue[Exception | None] = asyncio.Queue()
        self.left: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.open_streams = OpenStreams(Metrics())
        self.port = 0

    async def handle(self, request: Request) -> None:
        response = StreamingResponse(
            request,
            {"X-One": "1"},
            "text/plain",
            self._length,
            status=self._status,
            announced=("X-Two", "X-Three"),
        )
        try:
            async with response:
                self.streams.put_nowait(response)
                if (end := await self.ends.get()) is not None:
                    raise end
        except BaseException as exc:
            self.left.put_nowait(exc)
            if not isinstance(exc, Exception):
                raise
        else:
            self.left.put_nowait(None)

    async def end(self, error: Exception | None = None) -> BaseException | None:
        """Has the handler leave the response; what that raised."""
        self.ends.put_nowait(error)
        return await self.left.get()


class Client:
    """The other end, which reads only when it is told to."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._received = b""

    async def ask(self, method: str = "GET", version: str = "1.1", *fields: str) -> None:
        head = "\r\n".join((f"{method} / HTTP/{version}", "Host: x", *fields, "", ""))
        await asyncio.get_running_loop().sock_sendall(self._peer, head.encode())

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def until(self, mark: bytes) -> bytes:
        """What came up to the mark, and with it."""
        while mark not in self._received:
            self._received += await self._receive()
        found, _, self._received = self._received.partition(mark)
        return found + mark

    async def exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            self._received += await self._receive()
        found, self._received = self._received[:count], self._received[count:]
        return found

    async def rest(self) -> bytes:
        """All that comes until the connection is closed. Raises: ConnectionResetError."""
        while data := await asyncio.get_running_loop().sock_recv(self._peer, 1 << 20):
            self._received += data
        found, self._received = self._received, b""
        return found

    async def chunks(self) -> list[bytes]:
        """A chunked body, up to its end."""
        found: list[bytes] = []
        while size := int(await self.until(b"\r\n"), 16):
            found.append(await self.exactly(size))
            assert await self.exactly(2) == b"\r\n"
        assert await self.exactly(2) == b"\r\n"
        return found

    def leave(self) -> None:
        self._peer.close()

    async def _receive(self) -> bytes:
        data = await asyncio.get_running_loop().sock_recv(self._peer, 1 << 20)
        if not data:
            raise EOFError(self._received)
        return data


@asynccontextmanager
async def stream_server(
    length: int | None = None, status: int = 200
) -> AsyncIterator[tuple[StreamServer, Client]]:
    """A server, and a client that is connected to it and has a small buffer."""
    server = StreamServer(length, status)
    context: Any = SimpleNamespace(
        cors=None, strangers=Strangers(0), open_streams=server.open_streams
    )
    app = Sanic(
        f"streams{next(_numbers)}",
        ctx=context,
        request_class=cast("Any", Request),  # Sanic's type is of its own context
        configure_logging=False,
    )
    app.add_route(server.handle, "/", methods=["GET", "HEAD"])
    app.config.TOUCHUP = False  # it rewrites Sanic's classes, which can be done once
    await app._startup()  # type: ignore[no-untyped-call]  # what Sanic does before it listens
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    make = partial(
        Connection, loop=loop, app=app, signal=Signal(), connections=connections, state={}
    )
    listening = await loop.create_server(make, "127.0.0.1", 0)
    peer = socket.socket()
    peer.settimeout(0)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(peer, listening.sockets[0].getsockname())
    try:
        yield server, Client(peer)
    finally:
        peer.close()
        for connection in list(connections):
            connection.abort()  # type: ignore[no-untyped-call]
        while connections:
            await turn()
        listening.close()
        await listening.wait_closed()
