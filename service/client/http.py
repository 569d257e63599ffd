"""What both clients tell httpx alike: options, requests, and which errors are failures."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx

from service.client.address import Address
from service.client.steps import Failure, Request

# Seconds in which a connection is made.
_CONNECT_S: Final = 10.0
# Bytes that are read at a time. With httpcore's 64 KiB half of the time is spent around the reads.
_READ_BYTES: Final = 512 << 10
# Events of httpcore that tell of a stream.
_CONNECTED: Final = (
    "connect_tcp.complete",
    "connect_unix_socket.complete",
    "start_tls.complete",
)
# Nothing was sent when one of these comes.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

FAILURES: Final = (httpx.TransportError,)
"""What a flow is told of. Anything else is a fault of this client."""

Verify = ssl.SSLContext | str | bool
"""How a certificate is checked: a context, the path of a CA's certificate, or not at all."""


def client_options(address: Address, verify: Verify) -> dict[str, Any]:
    """For a client of httpx, but for the transport that a Unix socket needs.

    CA certificates are loaded for TLS alone: it takes long. Proxies and certificates that the
    environment names hold for other hosts.
    """
    context: ssl.SSLContext | bool = False
    if address.is_tls:
        context = _context_of(verify) if isinstance(verify, str) else verify
    headers = {"Accept-Encoding": "identity", "User-Agent": "jobrunner"}
    if address.token is not None:
        headers["Authorization"] = f"Bearer {address.token}"
    return {
        "base_url": address.base,
        "headers": headers,
        "trust_env": not address.is_local,
        "verify": context,
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
    }


def _context_of(path: str) -> ssl.SSLContext:
    """Raises: OSError, with the file's name."""
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as exc:  # also what is no certificate
        why = exc.strerror or exc
        raise OSError(f"The CA's certificate can't be read from {path}: {why}.") from exc


def request_options(request: Request) -> dict[str, Any]:
    """For `build_request` of a client of httpx."""
    silence_s = request.silence_s
    return {
        "method": request.method,
        "url": request.path,
        "params": list(request.query) or None,
        "headers": list(request.headers),
        "content": request.body,
        "timeout": httpx.Timeout(silence_s, connect=min(_CONNECT_S, silence_s), pool=None),
    }


def connected_stream(event: str, info: Mapping[str, Any]) -> Any:
    """The stream of which an event tells that it is connected, which reads as much at a time as is
    good; None for another event.
    """
    if not event.endswith(_CONNECTED):
        return None
    stream = info["return_value"]
    read = stream.read
    stream.read = lambda size, timeout=None: read(max(size, _READ_BYTES), timeout)
    return stream


def failure_of(error: Exception) -> Failure:
    """What a flow is told."""
    why = str(error) or type(error).__name__
    return Failure(why, was_sent=not isinstance(error, _NOT_SENT))
