"""Responses that take as long as a job does.

Sanic ends a request that has no response after RESPONSE_TIMEOUT, also one whose client reads
nothing. A timer of the connection checks that, and outlives the request, so it is set again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.web.connection import connection_of
from service.web.dead_peers import probe_when_silent
from service.web.request import Request


@contextmanager
def no_response_timeout(request: Request) -> Iterator[None]:
    """The response to this request has no time limit within the block, but for a client that is
    gone.
    """
    connection = connection_of(request)
    probe_when_silent(connection.transport)
    connection.pause_timeouts()
    try:
        yield
    finally:
        connection.resume_timeouts()
