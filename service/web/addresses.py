"""The address that a request comes from."""

from __future__ import annotations

from typing import Final

from service.access.addresses import parsed
from service.web.request import Request

# Characters of the longest address that there is, with the name of an interface.
_MAX_CHARS: Final = 64


def client_ip(request: Request) -> str:
    """The address that a trusted proxy names, if it is one; else that of the connection's peer."""
    given = str(request.remote_addr)
    return (parsed(given) if len(given) <= _MAX_CHARS else None) or str(request.ip)
