"""Removing all that is below a directory, however deep, wide or closed it is, and whoever works in
it meanwhile: nothing outside is ever touched (`walk`).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Protocol

from service.files.walk import ALL_OF_OWNER, Moved, open_directory, walk


def remove(parent: int, name: str | bytes, *, ends_at: float) -> None:
    """Remove what has this name in the open `parent`, and all below it. What can't be removed
    hinders nothing else.

    Raises: OSError, the first reason why something is left; OutOfTime.
    """
    try:
        top, _ = open_directory(parent, name)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=parent)
        return
    try:
        empty(top, ends_at=ends_at)
    finally:
        os.close(top)
    with suppress(FileNotFoundError):  # another process was faster
        os.rmdir(name, dir_fd=parent)


def empty(top: int, *, ends_at: float) -> None:
    """Remove all that is below the open directory. Raises: as `remove` does."""
    while True:
        emptying = _Emptying()
        try:
            walk(top, emptying, ends_at=ends_at)
        except Moved as exc:
            emptying.failed(exc)
        if emptying.error is None:
            return
        # Something may have been put in meanwhile, or passed over by a file system that counts
        # entries: another look, as long as it helps.
        if not emptying.removed:
            raise emptying.error


class _Emptying:
    """Removes what it sees."""

    def __init__(self) -> None:
        self.removed = 0
        self.error: OSError | None = None

    def failed(self, error: OSError) -> None:
        self.error = self.error or error

    barred = failed

    def entered(self, directory: int) -> None:
        found = os.fstat(directory)
        if found.st_mode & ALL_OF_OWNER != ALL_OF_OWNER:
            with suppress(PermissionError):  # not ours: what is in it tells
                os.fchmod(directory, stat.S_IMODE(found.st_mode) | ALL_OF_OWNER)

    def seen(self, directory: int, name: bytes, *, is_directory: bool) -> bool:
        if is_directory:
            return not self._is_removed(os.rmdir, name, directory)
        self._is_removed(os.unlink, name, directory)
        return False

    def left(self, parent: int, name: bytes) -> None:
        self._is_removed(os.rmdir, name, parent, is_last=True)

    def _is_removed(
        self, call: _Call, name: bytes, directory: int, *, is_last: bool = False
    ) -> bool:
        try:
            call(name, dir_fd=directory)
        except FileNotFoundError:
            return True
        except OSError as exc:
            if is_last or exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                self.failed(exc)
            return False
        self.removed += 1
        return True


class _Call(Protocol):
    def __call__(self, path: bytes, *, dir_fd: int) -> None: ...
