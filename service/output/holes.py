"""Freeing the middle of a file: its place on disk goes back, its offsets stay what they are.

And the opposite: blocks beyond its end, kept for what will be appended.

Through the C library, since the standard library has no binding.
Source: fallocate(2), FALLOC_FL_PUNCH_HOLE; ext4, XFS, Btrfs and tmpfs have it.
"""

from __future__ import annotations

import ctypes
import errno
import os

from service.errors import NoHoles

__all__ = ["BLOCK_BYTES", "check_holes", "keep_room", "punch"]

BLOCK_BYTES = 4096
"""Holes begin and end at multiples of this: what is freed of a smaller block would be zeroed."""

_PUNCH_HOLE = 0x02
_KEEP_SIZE = 0x01
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", _libc.fallocate)
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def check_holes(fd: int) -> None:
    """Sees to it that holes can be made in the empty file `fd`.

    Raises:
        NoHoles: they can't.
    """
    try:
        punch(fd, 0, BLOCK_BYTES)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        msg = "its file system can't free the middle of a file (fallocate, FALLOC_FL_PUNCH_HOLE)"
        raise NoHoles(msg) from error


def punch(fd: int, start: int, end: int) -> None:
    """Frees the whole blocks between two offsets; what is free already stays so.

    Raises:
        OSError: the file system can't, or not now.
    """
    start += -start % BLOCK_BYTES
    length = end - end % BLOCK_BYTES - start
    while length > 0 and _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, length):
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def keep_room(fd: int, start: int, length: int) -> None:
    """Allocates blocks that nobody else can take, without a change of the file's size.

    Raises:
        OSError: there is no room, or the file system can't.
    """
    if _fallocate(fd, _KEEP_SIZE, start, length):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
