"""The opening handshake of a WebSocket, without I/O. Source: RFC 6455, section 4.2."""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any, Final

from websockets.utils import accept_key

from service.errors import BadHeader, UpgradeRequired

_VERSION: Final = "13"
_KEY_BYTES: Final = 16


def offered_subprotocols(headers: Any) -> list[str]:
    """Those that the client offers, in its order; `headers` has `getall`, as Sanic's."""
    return _listed(headers.getall("sec-websocket-protocol", ()))


def accept(method: str, version: str, headers: Any, subprotocol: str) -> dict[str, str]:
    """The headers of the 101 that a request for a WebSocket gets.

    Raises: UpgradeRequired, for a request for something else; BadHeader.
    """
    connection = {word.lower() for word in _listed(headers.getall("connection", ()))}
    upgrade = {word.lower() for word in _listed(headers.getall("upgrade", ()))}
    if method != "GET" or version != "1.1" or "upgrade" not in connection:
        raise UpgradeRequired(
            "Expected a GET of HTTP/1.1 with 'Connection: Upgrade', 'Upgrade: websocket'; got"
            f" {method} of HTTP/{version}"
            + ("" if "upgrade" in connection else " without 'Connection: Upgrade'")
            + "."
        )
    if "websocket" not in upgrade:
        raise UpgradeRequired("Expected 'Upgrade: websocket'.")
    given = headers.getall("sec-websocket-version", ())
    if list(given) != [_VERSION]:
        raise UpgradeRequired(f"Expected 'Sec-WebSocket-Version: {_VERSION}'.")
    keys = headers.getall("sec-websocket-key", ())
    if len(keys) != 1 or not _is_key(keys[0]):
        raise BadHeader(f"Sec-WebSocket-Key: expected one, of {_KEY_BYTES} bytes in base64.")
    answer = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(keys[0]),
    }
    if subprotocol:
        answer["Sec-WebSocket-Protocol"] = subprotocol
    return answer


def _is_key(text: str) -> bool:
    try:
        return len(binascii.a2b_base64(text.encode("ascii"), strict_mode=True)) == _KEY_BYTES
    except ValueError:
        return False


def _listed(lines: Iterable[str]) -> list[str]:
    words = (word.strip() for line in lines for word in line.split(","))
    return [word for word in words if word]
