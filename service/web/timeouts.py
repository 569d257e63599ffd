"""Responses that take as long as a job does.

Sanic ends a request that has no response after RESPONSE_TIMEOUT, also one whose client reads
nothing. A timer of the connection checks that, and outlives the request, so it is set again.
"""

from __future__ import annotations

from service.web.connection import connection_of
from service.web.request import Request


class no_response_timeout:  # noqa: N801 - read as a call: with no_response_timeout(request)
    """The response to this request has no time limit within the block, but for a client that is
    gone.
    """

    __slots__ = ("_connection",)

    def __init__(self, request: Request) -> None:
        self._connection = connection_of(request)

    def __enter__(self) -> None:
        self._connection.probe_when_silent()
        self._connection.pause_timeouts()

    def __exit__(self, *_: object) -> None:
        self._connection.resume_timeouts()
