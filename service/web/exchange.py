"""The requests and responses of one connection: Sanic's HTTP/1.1, made stricter.

1. A chunked body has one framing only, as a body that two parsers read differently allows request
   smuggling: no signs, prefixes, chunk extensions and trailers, and the CRLF after a chunk is
   checked. Source: RFC 9112, section 7.1.
2. Every response has the headers that stop content sniffing and caching, and those of CORS.
3. A response sent before all of its request has come (a refusal) closes the connection, after a
   short time in which the rest of the request is discarded.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sanic.exceptions import BadRequest, PayloadTooLarge
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE

# A chunk's length, after the CRLF of the head or of the previous chunk; eight digits: 4 GiB.
_CHUNK: Final = re.compile(rb"\r\n[0-9A-Fa-f]{1,8}\r\n")
_CHUNK_PREFIX: Final = re.compile(rb"(?:\r(?:\n(?:[0-9A-Fa-f]{1,8}\r?)?)?)?")
_RESPONDED: Final = (Stage.IDLE, Stage.FAILED)


class Exchange(Http):
    """Created by Sanic, one per connection."""

    __slots__ = ("_is_first",)
    # Sanic's own annotations are too narrow.
    protocol: Any
    request_body: Any
    request_bytes: Any
    request_bytes_left: Any

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)  # type: ignore[no-untyped-call]
        self._is_first = True

    def init_for_request(self) -> None:
        super().init_for_request()  # type: ignore[no-untyped-call]
        if self._is_first:
            self._is_first = False  # its time limit began with the connection
        else:
            self.protocol.begin_request()

    def respond(self, response: Any) -> Any:
        if self.request_body and not self._is_complete():
            self.keep_alive = False
            self.expecting_continue = False
        headers = response.headers
        headers.setdefault("x-content-type-options", "nosniff")
        headers.setdefault("cache-control", "no-store")
        cors = self.protocol.app.ctx.cors
        if cors is not None and self.request is not None:
            cors.add_to(headers, self.request)
        return super().respond(response)

    async def read(self) -> bytes | None:
        """Some bytes of the body; None at its end. Raises: BadRequest, PayloadTooLarge."""
        if self.stage in _RESPONDED and not self._is_complete():
            self.keep_alive = False
            await self.protocol.linger(self._rest())
            self.request_body = None
            return None
        if self.request_body == "chunked":
            if not self.request_bytes_left:
                await self._expect_chunk()
        elif self.request_bytes > self.request_max_size:
            self.expecting_continue = False  # it is refused: no 100 Continue before the 413
        data: bytes | None = await super().read()
        if not self.request_body:
            self.protocol.end_request()
        return data

    async def error_response(self, exception: Exception) -> None:
        is_head_cut = self.stage is Stage.REQUEST and isinstance(exception, PayloadTooLarge)
        await super().error_response(exception)
        if is_head_cut:
            await self.protocol.linger(None)

    def _rest(self) -> int | None:
        """Bytes still to come; None when a chunked body doesn't say."""
        if self.request_body == "chunked":
            return None
        left: int = self.request_bytes_left - len(self.recv_buffer)
        return left

    def _is_complete(self) -> bool:
        rest = self._rest()
        return rest is not None and rest <= 0

    async def _expect_chunk(self) -> None:
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        while _CHUNK.match(self.recv_buffer) is None:
            if _CHUNK_PREFIX.fullmatch(self.recv_buffer) is None:
                self.keep_alive = False
                raise BadRequest("Invalid chunked body: expected a chunk length.")
            await self._receive_more()
