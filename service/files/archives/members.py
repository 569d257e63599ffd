"""What goes into an archive of a directory: all below it, one after the other, each opened once.

Rules
1. Two directories at most are open, whatever the depth: the files of one come before those of the
   directories in it, whose names are remembered until then.
2. A link goes in as a link. FIFOs, sockets and devices don't go in. A file with several names goes
   in as often.
3. What can't be read is counted, and passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import NamedTuple

from service.files.place import Found, open_found


class Member(NamedTuple):
    """One entry; `path` is relative to the archived directory. `descriptor` of a regular file, open
    until the next member is asked for; `target` of a link.
    """

    path: bytes
    status: os.stat_result
    descriptor: int | None = None
    target: bytes | None = None


class Members:
    """An iterator, to be closed."""

    def __init__(self, top: int, path: bytes) -> None:
        self.missed: OSError | None = None  # the first that couldn't be read
        self.missed_path = b""
        self._top = top
        self._path = path

    def __iter__(self) -> Generator[Member, None, None]:
        waiting = [b""]
        while waiting:
            below = waiting.pop()
            directories: list[bytes] = []
            with closing(self._of_directory(below, directories)) as members:
                yield from members
            waiting += [_joined(below, name) for name in sorted(directories, reverse=True)]

    def _of_directory(
        self, below: bytes, directories: list[bytes]
    ) -> Generator[Member, None, None]:
        found = self._opened(self._top, _joined(self._path, below), below, follow=not below)
        if found is None:
            return
        try:
            if not found.is_directory:
                return  # another file has taken its name
            if below:
                yield Member(below, found.status)
            with os.scandir(found.descriptor) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(name)
                    else:
                        yield from self._of_name(found.descriptor, name, _joined(below, name))
        finally:
            os.close(found.descriptor)

    def _of_name(self, directory: int, name: bytes, path: bytes) -> Iterator[Member]:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                yield Member(path, status, target=os.readlink(name, dir_fd=directory))
                return
        except FileNotFoundError:
            return
        except OSError as exc:
            self._miss(path, exc)
            return
        if not stat.S_ISREG(status.st_mode):
            return
        found = self._opened(directory, name, path, follow=False)
        if found is None:
            return
        try:
            if not found.is_directory:
                yield Member(path, found.status, descriptor=found.descriptor)
        finally:
            os.close(found.descriptor)

    def _opened(self, directory: int, name: bytes, path: bytes, *, follow: bool) -> Found | None:
        with suppress(FileNotFoundError):  # gone meanwhile
            try:
                return open_found(directory, name, follow=follow)
            except FileNotFoundError:
                raise
            except OSError as exc:
                self._miss(path, exc)
        return None

    def _miss(self, path: bytes, error: OSError) -> None:
        if self.missed is None:
            self.missed, self.missed_path = error, path


def _joined(above: bytes, name: bytes) -> bytes:
    return b"/".join(part for part in (above, name) if part)
