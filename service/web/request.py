"""The request object of the app: its head has one meaning, and it also stands in for a request
that can't be parsed.

Sanic answers such a request through a stand-in, which it makes of the same URL. When the URL is
what couldn't be parsed, that fails again, and the connection is closed without an answer.
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
from service.web.request_smuggling import UnclearHead, check_head

# What Sanic gives its stand-in as a method, and what it gives as a URL when it knows none.
_STAND_IN: Final = "NONE"
_NO_URL: Final = b"*"
# A body of so many pieces that are smaller than this on average takes longer to put together than
# to send.
_MANY_PIECES: Final = 10_000
_SMALL_PIECE_BYTES: Final = 64
# In place of the headers of a request of which they were forgotten.
_FORGOTTEN: Final = Header()


class Request(sanic.Request[Sanic[Config, Context], SimpleNamespace]):
    """Sanic's request; a stand-in has no URL, and its head isn't looked at.

    `principal` is its caller once it was admitted; `shed_reason` a sentence where only requests of
    low cost are served (`service.web.fd_reserve`).

    For its line in the access log (`service.web.access_log`): when it `began` on the clock of
    `perf_counter`, how many bytes of output were sent, and whether that was cut before its end.
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
        """Raises: BadRequest, which Sanic answers, and then closes the connection."""
        self.began = 0.0
        self.is_observed = False
        self.principal: Principal = UNAUTHENTICATED
        self.shed_reason: str | None = None
        self.streamed_bytes: int | None = None
        self.was_cut = False
        if method == _STAND_IN:
            url_bytes = _NO_URL
        elif "head" in more:
            try:
                check_head(more["head"])
            except UnclearHead as exc:
                raise BadRequest(f"The head of the request has no one meaning: {exc}.") from exc
        super().__init__(url_bytes, headers, version, method, *others, **more)

    async def receive_body(self) -> None:
        """As Sanic's own, but that small pieces take no more memory than large ones.

        Raises: BadRequest, when they are so small that they only keep us busy; PayloadTooLarge.
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
                raise BadRequest("The body comes in too many chunks that are too small.")
        self.body = bytes(body)

    def abort(self) -> None:
        """End its connection: whatever was sent of the response doesn't look whole."""
        abort(connection_of(self).transport, reset=True)

    def forget_head(self) -> None:
        """Let go of the headers, and of what was read from them, once the answer has begun: a
        browser's are a kilobyte or more, and a stream may last for days. Method and URL stay.
        """
        self.head = b""
        self.headers = _FORGOTTEN
        self.parsed_accept = None
        self.parsed_forwarded = None
