"""How a connection is ended so that no client takes a response that was cut for a whole one."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

# SO_LINGER with a time of 0: a close sends a reset. Source: socket(7).
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def abort(transport: Any, *, reset: bool) -> None:
    """Close the connection at once, and forget what wasn't sent. `reset`: with a reset, for a
    response whose end is the end of the connection (HTTP/1.0), where a plain close is a clean end.
    """
    if transport is None:
        return
    if reset and not transport.is_closing():
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
