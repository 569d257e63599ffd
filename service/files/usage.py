"""What a directory, and all that is below it, takes on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from service.files.walk import Moved, OutOfTime, open_directory, walk

# Bytes of one of the blocks that stat(2) counts.
_BLOCK_BYTES: Final = 512


def disk_usage(parent: int, name: str | bytes, *, is_over: Callable[[], bool]) -> int:
    """The bytes that the directory `name` of the open `parent`, and all in it, take on the disk. A
    file with several names counts for each with its share; what is mounted inside doesn't count,
    nor does what can't be looked at. What there was no time for isn't counted.

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
