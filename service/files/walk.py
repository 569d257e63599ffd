"""A walk over a directory tree that others may change at the same time.

Rules
1. One descriptor is open at any depth: the walk descends by name and ascends by `..`, and only into
   the directory that it came from (same device and inode). `Moved` ends the walk otherwise.
2. No path is built, so none is too long; names are bytes. Entries are streamed: memory holds only
   the path from the top.
3. No symlink is followed, nothing is opened but directories, and no mount is entered.

After a child, reading resumes with a seek to the position of its entry; every file system that NFS
can export supports that. Source: getdents(2), `d_off`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from service.files.beneath import open_beneath

# The number of getdents64 by machine. Source: asm/unistd.h.
_GETDENTS64: Final = {
    "x86_64": 217,
    "aarch64": 61,
    "riscv64": 61,
    "ppc64le": 202,
    "s390x": 220,
    "armv7l": 217,
}
# Read at once: about a hundred entries. After each child the rest of it is read again.
_BUFFER_BYTES: Final = 8 << 10
# d_ino, d_off, d_reclen, d_type; the name follows.
_ENTRY: Final = struct.Struct("<QqHB")
_DT_UNKNOWN: Final = 0
_DT_DIR: Final = 4
_OPENED: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What the owner needs to list a directory and to empty it.
ALL_OF_OWNER: Final = 0o700

_libc = ctypes.CDLL(None, use_errno=True)


class Moved(OSError):
    """A directory was moved while it was walked through."""


class OutOfTime(OSError):
    """The time was up before the end."""


class Visitor(Protocol):
    """What is done with each entry."""

    def entered(self, directory: int) -> None:
        """The open directory is about to be read."""

    def seen(self, directory: int, name: bytes, *, is_directory: bool) -> bool:
        """An entry of the open directory; True: look into it."""

    def left(self, parent: int, name: bytes) -> None:
        """All in the directory `name` of the open `parent` was seen."""

    def barred(self, error: OSError) -> None:
        """A directory can't be looked into."""


class _Above(NamedTuple):
    """A directory that the walk comes back to, from its child `name`."""

    device: int
    inode: int
    position: int
    name: bytes
    closed_mode: int | None  # of the child, when it was opened to its owner


class _Entry(NamedTuple):
    name: bytes
    kind: int
    position: int  # behind it


def walk(
    top: int, visitor: Visitor, *, is_over: Callable[[], bool], keep_modes: bool = False
) -> None:
    """Call `visitor` for all entries below the open directory `top`, depth first. `is_over` is
    called at each entry; True ends the walk. A directory whose mode locks out its owner is made
    accessible, and gets its mode back after the visit when `keep_modes`.

    Raises: Moved; OutOfTime; OSError.
    """
    way: list[_Above] = []
    current = os.open(".", _OPENED, dir_fd=top)
    try:
        visitor.entered(current)
        while True:
            child = _next_child(current, visitor, is_over, way)
            if child is None:
                if not way:
                    return
                above = way.pop()
                parent = _up(current, above)
                if keep_modes and above.closed_mode is not None:
                    os.fchmod(current, above.closed_mode)
                os.close(current)
                current = parent
                visitor.left(current, above.name)
                os.lseek(current, above.position, os.SEEK_SET)
            else:
                os.close(current)
                current = child
                visitor.entered(current)
    finally:
        os.close(current)


def _next_child(
    directory: int, visitor: Visitor, is_over: Callable[[], bool], way: list[_Above]
) -> int | None:
    """The next directory to enter, opened, with the way back in `way`; None at the end."""
    for entry in _entries(directory):
        if is_over():
            raise OutOfTime(errno.ETIMEDOUT, "there is more than there was time for")
        try:
            is_directory = _is_directory(directory, entry)
            if not visitor.seen(directory, entry.name, is_directory=is_directory):
                continue
            child, mode = open_directory(directory, entry.name)
        except FileNotFoundError:
            continue  # gone meanwhile
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise
            visitor.barred(exc)
            continue
        own = os.fstat(directory)
        way.append(_Above(own.st_dev, own.st_ino, entry.position, entry.name, mode))
        return child
    return None


def _entries(directory: int) -> Iterator[_Entry]:
    """From where the descriptor stands."""
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    number = _GETDENTS64[os.uname().machine]
    while True:
        count = _libc.syscall(
            ctypes.c_long(number), ctypes.c_int(directory), buffer, ctypes.c_size_t(_BUFFER_BYTES)
        )
        if count < 0 and (error := ctypes.get_errno()) != errno.ENOENT:
            raise OSError(error, os.strerror(error))
        if count <= 0:
            return  # also of a directory that was removed meanwhile
        data = buffer.raw[:count]
        at = 0
        while at < len(data):
            _, position, size, kind = _ENTRY.unpack_from(data, at)
            name = data[at + _ENTRY.size : at + size]
            name = name[: name.index(b"\0")]
            at += size
            if name not in (b".", b".."):
                yield _Entry(name, kind, position)


def _is_directory(directory: int, entry: _Entry) -> bool:
    if entry.kind != _DT_UNKNOWN:
        return entry.kind == _DT_DIR
    found = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
    return stat.S_ISDIR(found.st_mode)


def open_directory(parent: int, name: str | bytes) -> tuple[int, int | None]:
    """A descriptor of the directory `name` of the open `parent`, for reading. When its mode locks
    out its owner, it is made accessible, and the former mode is returned as well.

    Raises: NotADirectoryError, OSError.
    """
    try:
        return open_beneath(parent, name, _OPENED, one_mount=True), None
    except PermissionError:
        closed = open_beneath(
            parent, name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, one_mount=True
        )
    try:
        # A descriptor of this kind can be changed by this path only. Source: open(2), O_PATH.
        path = f"/proc/self/fd/{closed}"
        mode = stat.S_IMODE(os.fstat(closed).st_mode)
        os.chmod(path, mode | ALL_OF_OWNER)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), mode
    finally:
        os.close(closed)


def _up(directory: int, above: _Above) -> int:
    parent = os.open("..", _OPENED, dir_fd=directory)
    found = os.fstat(parent)
    if (found.st_dev, found.st_ino) != (above.device, above.inode):
        os.close(parent)
        raise Moved(errno.EXDEV, "a directory was moved meanwhile")
    return parent
