"""Where a request comes from: an address, or a user of this host."""

from __future__ import annotations

from typing import Any, Final

from service.access.addresses import parsed
from service.web.request import Request

# Characters of the longest address that there is, with the name of an interface.
_MAX_CHARS: Final = 64


def client_ip(request: Request) -> str:
    """The address that a trusted proxy names, if it is one; else that of the connection's peer."""
    given = str(request.remote_addr)
    return (parsed(given) if len(given) <= _MAX_CHARS else None) or str(request.ip)


def peer_uid(request: Request) -> int | None:
    """The user who connected, over a Unix socket: maybe a proxy's."""
    connection: Any = request.conn_info
    uid: int | None = getattr(connection.ctx, "peer_uid", None) if connection is not None else None
    return uid
