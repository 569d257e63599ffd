"""What Sanic needs on asyncio's own event loop, where uvloop does better by itself."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from sanic import Request

_TCP: Final = (socket.AF_INET, socket.AF_INET6)


async def send_at_once(request: Request) -> None:
    """Turn Nagle's algorithm off. A middleware: called for every request, and acts on the first one
    of a connection.

    asyncio does that only for sockets that name their protocol, which those that Sanic listens on
    don't. The second part of a short response then waits for the client's delayed ACK: 40 ms.
    """
    connection: Any = request.conn_info
    if connection is None or hasattr(connection.ctx, "sends_at_once"):
        return
    connection.ctx.sends_at_once = True
    stream: Any = request.stream
    peer = stream.protocol.transport.get_extra_info("socket")
    is_standard = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    if is_standard and peer is not None and peer.family in _TCP:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def write_parts(transport: Any, *parts: bytes) -> None:
    """Write the parts in order, and pause the writer above the high-water mark.

    asyncio's own `writelines` doesn't pause it from 3.12.0 to 3.13.0 (CPython issue 127655): the
    whole output would be buffered in memory for a client that reads nothing.
    """
    if isinstance(transport, asyncio.Transport):
        transport.write(b"".join(parts))
    else:
        transport.writelines(parts)


def close_before_connections() -> None:
    """Let `Server.wait_closed` return while connections are open, as it does up to Python 3.11.
    Sanic awaits it before it closes idle connections, so it would wait for every client.
    """
    asyncio.base_events.Server.wait_closed = _closed  # type: ignore[method-assign, assignment]


async def _closed(_server: asyncio.Server) -> None:
    return
