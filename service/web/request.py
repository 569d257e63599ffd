"""The app's request class: the head is unambiguous, and an unparsable request gets a response.

For a request that can't be parsed Sanic creates a placeholder request from the same URL, to which
it responds. If the URL is what can't be parsed, that fails again, and the connection would be
closed without a response.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import sanic
from sanic import Sanic
from sanic.compat import Header
from sanic.config import Config
from sanic.exceptions import BadRequest

from service.access.scopes import UNAUTHENTICATED, Principal
from service.web.abort import abort
from service.web.connection import connection_of
from service.web.context import Context
from service.web.request_smuggling import AmbiguousHead, check_head

# The placeholder's method, and the URL that Sanic gives it when it knows none.
_PLACEHOLDER: Final = "NONE"
_NO_URL: Final = b"*"
# A body in more pieces than this, smaller than this on average, takes longer to join than to send.
_MANY_PIECES: Final = 10_000
_SMALL_PIECE_BYTES: Final = 64
# Replaces the headers that `forget_head` drops.
_FORGOTTEN: Final = Header()


class Request(sanic.Request[Sanic[Config, Context], SimpleNamespace]):
    """Sanic's request. A placeholder has no URL, and its head isn't checked.

    `principal` is its caller once it was admitted; `shed_reason` a sentence where only requests of
    low cost are served (`service.web.fd_reserve`).

    For `service.web.access_log`: `began` is on the clock of `perf_counter`, `streamed_bytes` the
    bytes of output that were sent, and `was_cut` whether that ended before the output did.
    """

    __slots__ = (
        "began",
        "is_observed",
        "principal",
        "shed_reason",
        "streamed_bytes",
        "was_cut",
    )

    def __init__(
        self, url_bytes: bytes, headers: Any, version: str, method: str, *others: Any, **more: Any
    ) -> None:
        """Raises: BadRequest, to which Sanic responds before it closes the connection."""
        self.began = 0.0
        self.is_observed = False
        self.principal: Principal = UNAUTHENTICATED
        self.shed_reason: str | None = None
        self.streamed_bytes: int | None = None
        self.was_cut = False
        if method == _PLACEHOLDER:
            url_bytes = _NO_URL
        elif "head" in more:
            try:
                check_head(more["head"])
            except AmbiguousHead as exc:
                raise BadRequest(f"The head of the request is ambiguous: {exc}.") from exc
        super().__init__(url_bytes, headers, version, method, *others, **more)

    async def receive_body(self) -> None:
        """As Sanic's own, except that many small pieces take no more memory than a few large ones.

        Raises: BadRequest, when the pieces are too small on average; PayloadTooLarge.
        """
        if self.body:
            return
        stream: Any = self.stream
        body, pieces = bytearray(), 0
        async for data in stream:
            body += data
            pieces += 1
            if pieces > _MANY_PIECES and len(body) < pieces * _SMALL_PIECE_BYTES:
                stream.keep_alive = False
                raise BadRequest("The body has too many small chunks.")
        self.body = bytes(body)

    def abort(self) -> None:
        """End its connection: whatever was sent of the response doesn't look whole."""
        connection = connection_of(self)
        if connection.websocket is not None:
            connection.websocket.refuse("the token isn't good any more")
        else:
            abort(connection.transport, reset=True)

    def forget_head(self) -> None:
        """Free the headers, and what was parsed from them, once the response has begun: a browser's
        take a kilobyte or more, and a stream may last for days. Method and URL stay.
        """
        self.head = b""
        self.headers = _FORGOTTEN
        self.parsed_accept = None
        self.parsed_forwarded = None
