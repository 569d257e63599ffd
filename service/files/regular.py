"""Opening a file of the service that another user may have replaced with something else."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

# A FIFO would have the opener wait for its other end, a link lead elsewhere.
_CAREFULLY: Final = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class NotRegular(OSError):
    """There is something else than a regular file at this path."""


def open_regular(
    path: str | os.PathLike[str], flags: int, mode: int = 0o600, *, dir_fd: int | None = None
) -> int:
    """A descriptor of the regular file `path`. Never waits, and follows no link at its end.

    Raises: NotRegular; OSError.
    """
    try:
        descriptor = os.open(path, flags | _CAREFULLY, mode, dir_fd=dir_fd)
    except OSError as exc:
        # ENXIO: a FIFO without a reader, or a socket.
        if exc.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _not_regular(path) from exc
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def _not_regular(path: str | os.PathLike[str]) -> NotRegular:
    return NotRegular(errno.EINVAL, "not a regular file", os.fspath(path))
