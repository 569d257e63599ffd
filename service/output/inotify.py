"""The kernel's inotify: one descriptor that becomes readable when watched files are written.

A minimal binding through the C library, as the standard library has none.
Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

__all__ = ["OVERFLOW", "Inotify"]

OVERFLOW = -1
"""Instead of a watch: events were dropped, so any watched file may have changed."""

_IN_MODIFY = 0x2
_IN_ENTRIES = 0x8 | 0x40 | 0x80 | 0x100 | 0x200
"""Entries of a directory: closed after writing, moved from, moved to, created, deleted."""
_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = os.O_CLOEXEC
_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 * _EVENT.size
"""Space for 64 events; further ones leave the descriptor readable."""

_LIMITS = Path("/proc/sys/fs/inotify")

_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """One inotify instance. The owner waits for `fd` to be readable, then calls `changed`."""

    def __init__(self) -> None:
        """Makes the instance.

        Raises:
            OSError: the kernel refuses; the text says which limit to raise.
        """
        self.fd: int = _libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self.fd < 0:
            what = "The kernel refuses another inotify instance"
            raise _refusal(
                what,
                errno.EMFILE,
                f"the limits are fs.inotify.max_user_instances ({_limit('max_user_instances')}"
                " for all processes of this user) and the number of open files of this process",
            )

    def watch(self, fd: int) -> int:
        """Reports writes to the file open as `fd`. The same file always has the same watch.

        Raises:
            OSError: the kernel refuses; the text says which limit to raise.
        """
        return self._watch(fd, _IN_MODIFY)

    def watch_directory(self, fd: int) -> int:
        """Reports when an entry of the directory open as `fd` is created, removed or written.

        Raises: as `watch` does.
        """
        return self._watch(fd, _IN_ENTRIES)

    def _watch(self, fd: int, events: int) -> int:
        # Through the descriptor: exactly the file that is read, however long its path.
        path = f"/proc/self/fd/{fd}".encode()
        watch: int = _libc.inotify_add_watch(self.fd, path, events)
        if watch < 0:
            what = "The kernel refuses to watch another file"
            raise _refusal(
                what,
                errno.ENOSPC,
                f"the limit is fs.inotify.max_user_watches ({_limit('max_user_watches')}"
                " for all processes of this user)",
            )
        return watch

    def unwatch(self, watch: int) -> None:
        """Ends a watch."""
        _libc.inotify_rm_watch(self.fd, watch)

    def changed(self) -> set[int]:
        """The watches whose files were written since the last call, perhaps with `OVERFLOW`."""
        try:
            raw = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return set()
        found: set[int] = set()
        position = 0
        while position < len(raw):
            watch, _mask, _cookie, name_bytes = _EVENT.unpack_from(raw, position)
            position += _EVENT.size + name_bytes
            found.add(watch)
        return found

    def close(self) -> None:
        """Ends all watches; doing it again does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def _refusal(what: str, limit_errno: int, limit: str) -> OSError:
    code = ctypes.get_errno()
    reason = limit if code == limit_errno else os.strerror(code)
    return OSError(code, f"{what}: {reason}")


def _limit(name: str) -> str:
    try:
        return (_LIMITS / name).read_text().strip()
    except OSError:
        return "unknown"
