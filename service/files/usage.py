"""Disk usage of a directory tree."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from service.files.beneath import open_beneath
from service.files.walk import Moved, OutOfTime, open_directory, walk

# Bytes of a block as stat(2) counts them.
_BLOCK_BYTES: Final = 512
# What a look at a small tree may take: entries, and directories below one another.
_FEW: Final = 32
_FLAT: Final = 3
_OPENED: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def disk_usage(parent: int, name: str | bytes, *, is_over: Callable[[], bool]) -> int:
    """Bytes on the disk of the directory `name` of the open `parent` and all in it. Of a file with
    several links each counts its share. Mounts inside and what can't be read don't count, nor does
    what is left when `is_over` returns True.

    Raises: OSError, when there is no descriptor for it.
    """
    try:
        top, mode = open_directory(parent, name)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    counting = _Counting()
    try:
        with suppress(Moved, OutOfTime):
            walk(top, counting, is_over=is_over, keep_modes=True)
    finally:
        if mode is not None:
            os.fchmod(top, mode)
        os.close(top)
    return round(counting.blocks * _BLOCK_BYTES)


def small_disk_usage(path: str) -> int | None:
    """The same of a tree with few entries, in a moment; None of any other. Whoever may write in the
    tree must not be able to replace what is above it.
    """
    try:
        top = os.open(path, _OPENED)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as exc:
        # Not a directory, or a symlink in its place. Source: open(2).
        return 0 if exc.errno == errno.ELOOP else None
    looked = _Looked()
    try:
        looked.into(top, _FLAT)
    except (OSError, _NotSmall):
        return None  # also where something was moved or removed meanwhile
    finally:
        os.close(top)
    return round(looked.blocks * _BLOCK_BYTES)


class _NotSmall(Exception):
    """The tree has more than a look may take."""


class _Looked:
    """Adds up the blocks of a small tree."""

    def __init__(self) -> None:
        self.blocks = 0.0
        self._left = _FEW

    def into(self, directory: int, levels: int) -> None:
        """The open directory, and what is in it. Raises: _NotSmall, OSError."""
        self.blocks += os.fstat(directory).st_blocks
        with os.scandir(directory) as entries:
            for entry in entries:
                self._left -= 1
                if self._left < 0:
                    raise _NotSmall
                if not entry.is_dir(follow_symlinks=False):
                    found = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
                    self.blocks += found.st_blocks / max(1, found.st_nlink)
                elif levels == 1:
                    raise _NotSmall
                else:
                    self._below(entry.name, directory, levels - 1)

    def _below(self, name: str, parent: int, levels: int) -> None:
        try:
            # No mount is asked, which may be one that doesn't answer.
            directory = open_beneath(parent, name, _OPENED, one_mount=True)
        except OSError as exc:
            if exc.errno == errno.EXDEV:
                return
            raise
        try:
            self.into(directory, levels)
        finally:
            os.close(directory)


class _Counting:
    """Adds up the blocks of what it sees."""

    def __init__(self) -> None:
        self.blocks = 0.0

    def entered(self, directory: int) -> None:
        self.blocks += os.fstat(directory).st_blocks

    def seen(self, directory: int, name: bytes, *, is_directory: bool) -> bool:
        if not is_directory:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            self.blocks += found.st_blocks / max(1, found.st_nlink)
        return is_directory

    def left(self, parent: int, name: bytes) -> None:
        pass

    def barred(self, error: OSError) -> None:
        pass
