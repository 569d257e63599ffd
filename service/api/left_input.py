"""Input that clients of WebSockets left behind when they went, and that their jobs haven't read.

It is delivered once they read (`client_input`), which may be never; a client that comes and goes
costs nobody a connection meanwhile. So all of it has a bound, in each worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_MAX_BYTES: Final = 16 << 20
# Of each client that has gone: what is under way to the supervisor, and its request.
_CLIENT_BYTES: Final = 64 << 10


class LeftInput:
    """The bytes that all of them left."""

    __slots__ = ("_bytes", "_most")

    def __init__(self, most: int = _MAX_BYTES) -> None:
        self._most = most
        self._bytes = 0

    @contextmanager
    def kept(self, size: int) -> Iterator[bool]:
        """Within the block that many bytes are kept; False: there is no room for them."""
        wanted = size + _CLIENT_BYTES
        if self._bytes + wanted > self._most:
            yield False
            return
        self._bytes += wanted
        try:
            yield True
        finally:
            self._bytes -= wanted
