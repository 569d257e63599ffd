"""The body of a request as it comes, for handlers that read it themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from service.web.request import Request


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The pieces of the body, none empty. No more is read from the connection than a buffer, until
    the next one is asked for.

    Raises: BadRequest.
    """
    stream: Any = request.stream
    while stream.request_body:
        if data := await stream.read():
            yield data
