"""Disk usage of a directory tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from service.files.walk import Moved, OutOfTime, open_directory, walk

# Bytes of a block as stat(2) counts them.
_BLOCK_BYTES: Final = 512


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
