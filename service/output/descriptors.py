"""How many bytes a descriptor has to read, without reading them."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios

__all__ = ["bytes_waiting", "has_bytes"]

_INT = struct.Struct("i")


def bytes_waiting(fd: int) -> int | None:
    """How many bytes can be read from `fd`; None for a kind of file that doesn't count them."""
    try:
        raw = fcntl.ioctl(fd, termios.FIONREAD, bytes(_INT.size))
    except OSError as error:
        if error.errno == errno.EBADF:
            raise
        return None
    (count,) = _INT.unpack(raw)
    return int(count)


def has_bytes(fd: int) -> bool:
    """True when bytes can be read, False at the end of output.

    Raises:
        BlockingIOError: neither; nothing has come yet.
    """
    if bytes_waiting(fd):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    events = poll.poll(0)
    if not events:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    # Bytes may have come since they were counted. A hang-up alone is the end.
    return bool(events[0][1] & select.POLLIN)
