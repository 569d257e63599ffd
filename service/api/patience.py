"""Answers that take as long as a job does.

Sanic ends a request that isn't answered, or whose client reads nothing, after RESPONSE_TIMEOUT. The
limit is the connection's, and the connection outlives the request, so it is set back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sanic import Request


@contextmanager
def unlimited_answer_time(request: Request) -> Iterator[None]:
    """No time limit for this request's answer."""
    assert request.stream is not None  # noqa: S101 - set for every request that a handler gets
    protocol = request.stream.protocol
    before = protocol.response_timeout
    protocol.response_timeout = float("inf")
    try:
        yield
    finally:
        protocol.response_timeout = before
