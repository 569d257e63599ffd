"""What is written is sent at once, also by asyncio's own event loop.

That loop turns Nagle's algorithm off only for sockets that name their protocol, which those that
Sanic listens on don't. Then the second part of a short answer waits for the client's delayed
acknowledgement: 40 ms. uvloop turns it off for each connection.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from sanic import Request

_TCP: Final = (socket.AF_INET, socket.AF_INET6)


async def send_at_once(request: Request) -> None:
    """Before each request; something is done for the first one of a connection."""
    seen: Any = request.conn_info
    if seen is None or hasattr(seen.ctx, "sends_at_once"):
        return
    seen.ctx.sends_at_once = True
    stream: Any = request.stream
    peer = stream.protocol.transport.get_extra_info("socket")
    if (
        isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
        and peer is not None
        and peer.family in _TCP
    ):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
