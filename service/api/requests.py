"""The request object of the app: one that also stands in for a request that can't be parsed.

Sanic answers such a request through a stand-in, which it makes of the same URL. When the URL is
what couldn't be parsed, that fails again, and the connection is closed without an answer.
"""

from __future__ import annotations

from typing import Any, Final

from sanic import Request

# What Sanic gives its stand-in as a method, and what it gives as a URL when it knows none.
_STAND_IN: Final = "NONE"
_NO_URL: Final = b"*"


class ForgivingRequest(Request):
    """Sanic's request; a stand-in has no URL.

    What is said of a request on its end (`service.api.observed`): when it `began` on the clock of
    `perf_counter`, how many bytes of output were sent, and whether that was cut before its end.
    """

    began: float = 0.0
    is_observed: bool = False
    streamed_bytes: int | None = None
    was_cut: bool = False

    def __init__(
        self, url_bytes: bytes, headers: Any, version: str, method: str, *others: Any, **more: Any
    ) -> None:
        url_bytes = _NO_URL if method == _STAND_IN else url_bytes
        super().__init__(url_bytes, headers, version, method, *others, **more)
