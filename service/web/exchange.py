"""The requests of one connection and their answers: Sanic's HTTP/1.1, where it is too trusting.

1. A chunked body is framed in one way only. What two programs read differently lets one request
   hide in another, so there are no signs, prefixes, extensions and trailers, and what ends a chunk
   is looked at. Source: RFC 9112, section 7.1.
2. Every answer has the headers that keep browsers from guessing and caches from keeping.
3. A request that is answered before all of it has come (a refusal) ends its connection, after a
   short while in which what still comes is thrown away.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sanic.exceptions import BadRequest
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE

# A chunk's length, after the end of the head or of the chunk before; eight digits are 4 GiB.
_CHUNK: Final = re.compile(rb"\r\n[0-9A-Fa-f]{1,8}\r\n")
_CHUNK_BEGUN: Final = re.compile(rb"(?:\r(?:\n(?:[0-9A-Fa-f]{1,8}\r?)?)?)?")
_ANSWERED: Final = (Stage.IDLE, Stage.FAILED)


class Exchange(Http):
    """One in each connection; made by Sanic."""

    __slots__ = ("_is_first",)
    # Sanic's own types don't say what it keeps there.
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
            self._is_first = False  # its time began with the connection
        else:
            self.protocol.begin_request()

    def respond(self, response: Any) -> Any:
        if self.request_body and not self._is_rest_here():
            self.keep_alive = False
            self.expecting_continue = False
        headers = response.headers
        headers.setdefault("x-content-type-options", "nosniff")
        headers.setdefault("cache-control", "no-store")
        return super().respond(response)

    async def read(self) -> bytes | None:
        """Some bytes of the body; None at its end. Raises: BadRequest, PayloadTooLarge."""
        if self.stage in _ANSWERED and not self._is_rest_here():
            self.keep_alive = False
            await self.protocol.linger(self._rest())
            self.request_body = None
            return None
        if self.request_body == "chunked":
            if not self.request_bytes_left:
                await self._expect_chunk()
        elif self.request_bytes > self.request_max_size:
            self.expecting_continue = False  # it is refused
        data: bytes | None = await super().read()
        if not self.request_body:
            self.protocol.end_request()
        return data

    def _rest(self) -> int | None:
        """Bytes that are still to come; None when only its end will tell."""
        if self.request_body == "chunked":
            return None
        left: int = self.request_bytes_left - len(self.recv_buffer)
        return left

    def _is_rest_here(self) -> bool:
        rest = self._rest()
        return rest is not None and rest <= 0

    async def _expect_chunk(self) -> None:
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        while _CHUNK.match(self.recv_buffer) is None:
            if _CHUNK_BEGUN.fullmatch(self.recv_buffer) is None:
                self.keep_alive = False
                raise BadRequest("The body is not chunked as it should be: a chunk's length.")
            await self._receive_more()
