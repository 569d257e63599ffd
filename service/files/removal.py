"""Removal of a directory tree of any depth and mode, also while others change it. Nothing outside
is touched (`walk`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from service.files.walk import ALL_OF_OWNER, Moved, open_directory, walk

# Attempts to empty a directory that others fill at the same time.
_TRIES: Final = 3
_NOT_EMPTY: Final = (errno.ENOTEMPTY, errno.EEXIST)


class LeftBehind(OSError):
    """Something couldn't be removed: the first error, and where; `path` is relative to what was to
    be removed.
    """

    def __init__(self, error: OSError, path: bytes) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.path = path


def remove(parent: int, name: str | bytes, *, is_over: Callable[[], bool]) -> None:
    """Remove `name` of the open `parent`, and all below it, as far as that works.

    Raises: LeftBehind, OSError, when something is left; OutOfTime.
    """
    # An empty directory needn't be opened, which its mode may forbid this process.
    with suppress(OSError):  # what is the matter is seen below
        os.rmdir(name, dir_fd=parent)
    try:
        top, _ = open_directory(parent, name)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=parent)
        return
    try:
        for tries_left in reversed(range(_TRIES)):
            empty(top, is_over=is_over)
            try:
                os.rmdir(name, dir_fd=parent)
            except FileNotFoundError:
                return  # another process was faster
            except OSError as exc:
                if exc.errno not in _NOT_EMPTY or not tries_left:
                    raise
            else:
                return
    finally:
        os.close(top)


def empty(top: int, *, is_over: Callable[[], bool]) -> None:
    """Remove all that is below the open directory. Raises: as `remove` does."""
    while True:
        emptying = _Emptying()
        try:
            walk(top, emptying, is_over=is_over)
        except Moved as exc:
            emptying.failed(exc)
        if emptying.error is None:
            return
        # Entries may have been added meanwhile, or skipped by a file system that numbers them:
        # another pass, as long as one removes something.
        if not emptying.removed:
            raise LeftBehind(emptying.error, emptying.path) from emptying.error


class _Emptying:
    """Removes what it sees."""

    def __init__(self) -> None:
        self.removed = 0
        self.error: OSError | None = None
        self.path = b""  # where the error was
        self._way: list[bytes] = []  # names of the directories that the walk is in
        self._name = b""  # of the entry that it has come to

    def failed(self, error: OSError) -> None:
        if self.error is None:
            self.error = error
            self.path = b"/".join([*self._way, self._name])

    barred = failed

    def entered(self, directory: int) -> None:
        if self._name:  # else it is the top
            self._way.append(self._name)
        found = os.fstat(directory)
        if found.st_mode & ALL_OF_OWNER != ALL_OF_OWNER:
            with suppress(PermissionError):  # not ours: what is in it tells
                os.fchmod(directory, stat.S_IMODE(found.st_mode) | ALL_OF_OWNER)

    def seen(self, directory: int, name: bytes, *, is_directory: bool) -> bool:
        self._name = name
        if is_directory:
            return not self._is_removed(os.rmdir, name, directory)
        self._is_removed(os.unlink, name, directory)
        return False

    def left(self, parent: int, name: bytes) -> None:
        self._way.pop()
        self._name = name
        self._is_removed(os.rmdir, name, parent, is_last=True)

    def _is_removed(
        self, call: _Call, name: bytes, directory: int, *, is_last: bool = False
    ) -> bool:
        try:
            call(name, dir_fd=directory)
        except FileNotFoundError:
            return True
        except OSError as exc:
            if is_last or exc.errno not in _NOT_EMPTY:
                self.failed(exc)
            return False
        self.removed += 1
        return True


class _Call(Protocol):
    def __call__(self, path: bytes, *, dir_fd: int) -> None: ...
