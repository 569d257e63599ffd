"""A reader of output whose response hasn't begun, as there is nothing to send yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.web.connection import connection_of
from service.web.dead_peers import is_dead
from service.web.request import Request


class _WaitingReader:
    """As the open streams see it."""

    __slots__ = ("_request", "format_name")

    def __init__(self, request: Request, format_name: str) -> None:
        self._request: Final = request
        self.format_name = format_name

    def is_dead(self) -> bool:
        """Whether the client is gone, and hasn't said so."""
        return is_dead(connection_of(self._request).transport)

    def abort(self) -> None:
        """End a connection without a client. One that waits gets a whole response: an error, when
        the worker stops.
        """
        if self.is_dead():
            self._request.abort()


@contextmanager
def counted(request: Request, format_name: str) -> Iterator[None]:
    """Within the block the caller is one of the readers of that format that are attached."""
    streams, reader = request.app.ctx.open_streams, _WaitingReader(request, format_name)
    streams.add(reader)
    try:
        yield
    finally:
        streams.discard(reader)
