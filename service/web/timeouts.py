"""Answers that take as long as a job does.

Sanic ends a request that isn't answered, or whose client reads nothing, after RESPONSE_TIMEOUT. The
limit is looked at by a timer of the connection, which outlives the request, so it is set again.
"""

from __future__ import annotations

from types import TracebackType

from service.web.connection import connection_of
from service.web.request import Request


class UnlimitedAnswerTime:
    """No time limit for this request's answer within the block."""

    __slots__ = ("_connection",)

    def __init__(self, request: Request) -> None:
        self._connection = connection_of(request)

    def __enter__(self) -> None:
        self._connection.pause_timeouts()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._connection.resume_timeouts()
