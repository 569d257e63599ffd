"""The body of a request in pieces, as it comes: an upload, of which nothing is kept in memory.

The route is registered with `streams_body`, or Sanic would have read all of it before. While nobody
takes the next piece the connection isn't read, so a slow disk slows its client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from sanic.exceptions import RequestTimeout

from service.errors import BodyTooLarge
from service.web.request import Request
from service.web.timeouts import no_response_timeout

# Bytes that are handed on at a time, and the memory of one upload: a thread for each piece as it
# comes would take longer than the disk does.
_PIECE_BYTES: Final = 256 << 10


async def pieces(request: Request, *, most: int) -> AsyncIterator[bytes]:
    """Pieces of the body, to its end; `most`: bytes that it may have, 0: any number.

    The client may take any time for all of it, but not longer than the time limit of a request for
    the next bytes.

    Raises: BodyTooLarge; RequestTimeout; when the body is cut, what Sanic raises.
    """
    http: Any = request.stream
    silence_s = request.app.ctx.settings.request_timeout
    http.request_max_size = float("inf")
    if most and http.request_bytes_left > most and http.request_body is True:
        raise _too_large(most)
    with no_response_timeout(request):
        waiting, size = bytearray(), 0
        while (data := await _next(http, silence_s)) is not None:
            size += len(data)
            if 0 < most < size:
                raise _too_large(most)
            waiting += data
            if len(waiting) >= _PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
        if waiting:
            yield bytes(waiting)


async def _next(http: Any, silence_s: float) -> bytes | None:
    try:
        async with asyncio.timeout(silence_s):
            data: bytes | None = await http.read()
            return data
    except TimeoutError as exc:
        http.keep_alive = False
        raise RequestTimeout(f"No byte of the body came for {silence_s:g} seconds.") from exc


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"An upload may have {most} bytes at most (JOBRUNNER_MAX_UPLOAD).")
