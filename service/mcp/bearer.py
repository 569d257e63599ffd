"""The token that callers over HTTP have to send. Source: RFC 6750, as MCP asks for it."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]
App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
"""An application as ASGI has it."""

_SAID: Final = b"Expected one header 'Authorization: Bearer TOKEN' with the token of this server.\n"


def guarded(app: App, token: str) -> App:
    """`app` for those who send `token`; others get a 401, whatever they ask for."""

    async def call(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":  # of the server itself
            return await app(scope, receive, send)
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if is_right(given, token):
            return await app(scope, receive, send)
        challenge = b'Bearer error="invalid_token"' if given else b"Bearer"
        headers = [
            (b"www-authenticate", challenge),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(_SAID)),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        return await send({"type": "http.response.body", "body": _SAID})

    return call


def is_right(authorizations: list[bytes], token: str) -> bool:
    """Whether these values of the header have `token`. Takes as long for any wrong one.

    >>> is_right([b"bearer t"], "t"), is_right([b"Bearer x"], "t"), is_right([], "t")
    (True, False, False)
    """
    if len(authorizations) != 1:
        return False
    scheme, _, text = authorizations[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(text.strip(), token.encode())
