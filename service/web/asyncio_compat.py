"""What Sanic needs on asyncio's own event loop, where uvloop does better by itself."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from sanic import Request

_TCP: Final = (socket.AF_INET, socket.AF_INET6)


async def send_at_once(request: Request) -> None:
    """Before each request; something is done for the first one of a connection.

    asyncio turns Nagle's algorithm off only for sockets that name their protocol, which those that
    Sanic listens on don't. Then the second part of a short answer waits for the client's delayed
    acknowledgement: 40 ms.
    """
    seen: Any = request.conn_info
    if seen is None or hasattr(seen.ctx, "sends_at_once"):
        return
    seen.ctx.sends_at_once = True
    stream: Any = request.stream
    peer = stream.protocol.transport.get_extra_info("socket")
    is_standard = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    if is_standard and peer is not None and peer.family in _TCP:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def write_parts(transport: Any, *parts: bytes) -> None:
    """Write them one after the other, and pause the writer when they are too many.

    asyncio's own `writelines` forgets to pause it from 3.12.0 to 3.13.0 (CPython issue 127655): a
    client that reads nothing would have the whole output put into memory.
    """
    if isinstance(transport, asyncio.Transport):
        transport.write(b"".join(parts))
    else:
        transport.writelines(parts)


def close_before_connections() -> None:
    """Have a closed server count as closed while connections are open, as up to Python 3.11: Sanic
    waits for it before it ends idle connections, and so would wait for each client to go away.
    """
    asyncio.base_events.Server.wait_closed = _closed  # type: ignore[method-assign, assignment]


async def _closed(_server: asyncio.Server) -> None:
    return
