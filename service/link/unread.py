"""How long the other end of a stream socket has taken nothing out of it.

The kernel tells how much the peer hasn't read, not since when. So the socket is looked at before
something is sent: what was sent earlier has been read if it is empty then. Bytes that are on their
way just now are therefore no silence, however long nothing was said before them.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

# Seconds for which an observation counts as fresh: a busy connection asks the kernel nothing.
_FRESH_S: Final = 1.0
# How many bytes the peer hasn't taken out of a socket. Source: linux/sockios.h
_SIOCOUTQ: Final = 0x5411
_INT: Final = struct.Struct("i")


def unread_in(stream: socket.socket) -> int:
    """What the peer hasn't taken out of it yet, about; 0 where the kernel doesn't tell."""
    with suppress(OSError):
        return _INT.unpack(fcntl.ioctl(stream.fileno(), _SIOCOUTQ, bytes(_INT.size)))[0]  # type: ignore[no-any-return]
    return 0


class UnreadTime:
    """Of one peer; `unread_bytes` asks the kernel, `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float], unread_bytes: Callable[[], int]) -> None:
        self._clock = clock
        self._unread_bytes = unread_bytes
        self._seen_at = clock()  # when the socket was seen empty, or something came out of it

    def sending(self) -> None:
        """Call before each message that is sent."""
        now = self._clock()
        if now - self._seen_at >= _FRESH_S and not self._unread_bytes():
            self._seen_at = now

    def received(self) -> None:
        """Call when something has come: a peer that answers isn't silent."""
        self._seen_at = self._clock()

    def seconds(self) -> float:
        """For how long bytes have waited that the peer hasn't read, to a second; 0 for none."""
        return self._clock() - self._seen_at if self._unread_bytes() else 0.0
