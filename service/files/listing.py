"""What is in a directory of a job, in the order of the names, one page at a time.

A page costs one reading of the directory, however many entries it has, and memory for one page: the
names that come first behind `after` are kept, and only those are looked at.

With `recursive` the order is that of the paths, name by name: a directory comes just before what is
in it. Each directory is read once for a page that reaches it.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from service.files.place import Found, open_found

_TYPES: Final = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


class Entry(NamedTuple):
    """One entry; `path` is relative to the listed directory."""

    path: bytes
    type: str
    size: int
    modified_ns: int
    mode: int


def entry_of(path: bytes, status: os.stat_result) -> Entry:
    """What a listing says of a file."""
    kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
    return Entry(path, kind, status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode))


def entries_of(
    top: int, path: bytes, directory: Found, *, limit: int, after: bytes, recursive: bool
) -> tuple[list[Entry], bool]:
    """The first `limit` entries behind `after` of the open directory, which is at `path`; whether
    there are more.

    Raises: OSError.
    """
    # One more than is wanted tells whether there are more.
    wanted = limit + 1
    if not recursive:
        found = list(_in_order(directory.descriptor, b"", wanted, after))
        return found[:limit], len(found) > limit
    found = []
    for entry in _walk(top, path, directory.descriptor, wanted, after):
        found.append(entry)
        if len(found) == wanted:
            return found[:limit], True
    return found, False


def _in_order(directory: int, prefix: bytes, count: int, after: bytes) -> Iterator[Entry]:
    with os.scandir(directory) as scanned:
        names = (os.fsencode(entry.name) for entry in scanned)
        first = heapq.nsmallest(count, (name for name in names if name > after))
    for name in first:
        with suppress(FileNotFoundError):  # gone meanwhile
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            yield entry_of(prefix + name, status)


def _walk(top: int, path: bytes, directory: int, count: int, after: bytes) -> Iterator[Entry]:
    """Depth first. Of each directory on the way no more is held than one page."""
    waiting = [iter(_page(directory, b"", count, after))]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        entry, rest = found
        if rest is None:
            yield entry
        if entry.type != "directory":
            continue
        inner = b"/".join(part for part in (path, entry.path) if part)
        with suppress(OSError):  # moved meanwhile, or not to be read by the job's user
            below = open_found(top, inner, follow=False)
            try:
                if below.is_directory:
                    page = _page(below.descriptor, entry.path + b"/", count, rest or b"")
                    waiting.append(iter(page))
            finally:
                os.close(below.descriptor)


def _page(
    directory: int, prefix: bytes, count: int, after: bytes
) -> list[tuple[Entry, bytes | None]]:
    """The entries behind `after`; and before them the one that it begins with, and the rest of it,
    as there may be more in there.
    """
    name, _, rest = after.partition(b"/")
    page: list[tuple[Entry, bytes | None]] = []
    if name:
        with suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            page.append((entry_of(prefix + name, status), rest))
    page += [(entry, None) for entry in _in_order(directory, prefix, count, name)]
    return page
