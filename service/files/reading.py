"""Bytes of an open file of a job: from the kernel's cache where they are, else in a thread."""

from __future__ import annotations

import errno
import os
from typing import Final

# Bytes between two places at which it is asked whether the file is in memory: what the kernel reads
# ahead at least.
_PROBED_BYTES: Final = 64 << 10
_CANNOT: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
# Written to by every probe, and read by none.
_scratch = bytearray(1)


class FileBytes:
    """The bytes of an open regular file, as a transport takes them (`FileSource`)."""

    __slots__ = ("_can_probe", "_can_send", "_descriptor")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._can_probe = self._can_send = True

    def send_now(self, descriptor: int, offset: int, limit: int) -> int | None:
        """See `FileSource`. Raises: OSError."""
        if not self._can_send or not (length := self.in_memory(offset, limit)):
            return None
        try:
            # 0: the file has become shorter, which a read tells as well.
            sent: int = os.sendfile(descriptor, self._descriptor, offset, length)
            return sent or None
        except BlockingIOError:
            return 0
        except OSError as exc:
            if exc.errno not in _CANNOT:
                raise
            self._can_send = False
            return None

    def read(self, offset: int, length: int) -> bytes:
        """In a thread: it may wait for the disk. Raises: OSError."""
        return os.pread(self._descriptor, length, offset)

    def in_memory(self, offset: int, length: int) -> int:
        """How many of the bytes are there without a wait for the disk."""
        if not self._can_probe:
            return length
        ahead: int
        for ahead in (*range(0, length, _PROBED_BYTES), length - 1):
            try:
                os.preadv(self._descriptor, [_scratch], offset + ahead, os.RWF_NOWAIT)
            except BlockingIOError:
                return ahead
            except OSError as exc:
                if exc.errno not in _CANNOT:
                    raise
                self._can_probe = False  # tmpfs can't refuse to wait, and needn't
                return length
        return length
