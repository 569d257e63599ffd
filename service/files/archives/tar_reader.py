"""A stream of tar, in pieces of any size, to what it has in it. No I/O.

Read are ustar, pax, GNU tar's long names and large numbers, and old tars. A header that isn't
understood ends it with an error that names the entry: nothing is guessed.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import Final, NamedTuple

from service.errors import BadArchive
from service.files.names import shown

_BLOCK: Final = 512
# Bytes of the extended header of one entry: two paths of any length that the kernel takes, and what
# some archivers add.
_MAX_EXTENDED: Final = 1 << 20
_FILES: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LONG: Final = {tarfile.GNUTYPE_LONGNAME: b"path", tarfile.GNUTYPE_LONGLINK: b"linkpath"}
# What is read of extended headers; nothing else is kept, as an archive may have any number.
_READ: Final = frozenset({b"path", b"linkpath", b"size", b"mtime"})
_SPARSE: Final = b"GNU.sparse."
_NOT_TAKEN: Final = {
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.GNUTYPE_SPARSE: "a sparse file (create the archive without --sparse)",
}


class Header(NamedTuple):
    """An entry begins. `link`: the target of a link, or the path of another entry that is the same
    file (`is_hard`).
    """

    path: bytes
    size: int
    mode: int
    modified_ns: int
    is_directory: bool = False
    link: bytes | None = None
    is_hard: bool = False


class Content(NamedTuple):
    """Bytes of a file; `is_last`: it is whole now."""

    data: bytes
    is_last: bool


class TarReader:
    """Fed with a stream. A file of no bytes has a `Content` as well."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0  # bytes of the present file, or of the present extended header
        self._padding = 0
        self._extended: bytearray | None = None
        self._extended_type = b""
        self._global: dict[bytes, bytes] = {}
        self._next: dict[bytes, bytes] = {}
        self._is_file = False
        self.is_at_end = False
        self._path = b""

    def feed(self, data: bytes) -> Iterator[Header | Content]:
        """What is complete now. Raises: BadArchive."""
        if self.is_at_end:
            return  # what fills the last record
        self._buffer += data
        while not self.is_at_end:
            if self._is_file or self._extended is not None:
                if not self._buffer and self._left:
                    return
                yield from self._take()
            elif self._padding:
                skipped = min(self._padding, len(self._buffer))
                del self._buffer[:skipped]
                self._padding -= skipped
                if self._padding:
                    return
            elif len(self._buffer) < _BLOCK:
                return
            else:
                block = bytes(self._buffer[:_BLOCK])
                del self._buffer[:_BLOCK]
                yield from self._header(block)

    def finish(self) -> None:
        """The stream has ended. Raises: BadArchive, when the archive hasn't."""
        if not self.is_at_end:
            behind = f" behind {shown(self._path)[:200]!r}" if self._path else ""
            raise BadArchive(f"The archive ends too early{behind}.")

    def _take(self) -> Iterator[Content]:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        if self._extended is not None:
            self._extended += data
            if not self._left:
                self._read_extended(bytes(self._extended))
                self._extended = None
            return
        if not self._left:
            self._is_file = False
        yield Content(data, is_last=not self._left)

    def _header(self, block: bytes) -> Iterator[Header]:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in typeshed
            self.is_at_end = True
            return
        except tarfile.HeaderError as exc:
            behind = f"behind {shown(self._path)[:200]!r}" if self._path else "at its beginning"
            raise BadArchive(f"The body is no tar archive {behind}: {exc}.") from exc
        if info.type in _LONG or info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            if not 0 <= info.size <= _MAX_EXTENDED:
                raise BadArchive(f"An extended header has {info.size} bytes.")
            self._extended, self._extended_type = bytearray(), info.type
            self._begin(info.size)
            return
        header = self._entry(info)
        self._path, self._next = header.path, {}
        if info.type in _FILES and not header.is_directory:
            self._is_file = True
            self._begin(header.size)
        yield header

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % _BLOCK

    def _entry(self, info: tarfile.TarInfo) -> Header:
        told = self._global | self._next
        path = told.get(b"path", os.fsencode(info.name))
        if info.type in _NOT_TAKEN or _SPARSE in told:
            what = _NOT_TAKEN.get(info.type, _NOT_TAKEN[tarfile.GNUTYPE_SPARSE])
            raise BadArchive(f"{shown(path)[:200]!r} is {what}, which isn't unpacked.")
        try:
            size = int(told.get(b"size", info.size))
            modified_ns = int(float(told.get(b"mtime", info.mtime)) * 1e9)
        except (ValueError, OverflowError) as exc:
            raise BadArchive(f"{shown(path)[:200]!r} has a number that is none.") from exc
        if size < 0:
            raise BadArchive(f"{shown(path)[:200]!r} has a negative size.")
        header = Header(path, size, info.mode, max(0, min(modified_ns, 2**62)))
        link = told.get(b"linkpath", os.fsencode(info.linkname))
        if info.type == tarfile.DIRTYPE or (info.type in _FILES and path.endswith(b"/")):
            return header._replace(is_directory=True, size=0)
        if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            return header._replace(link=link, is_hard=info.type == tarfile.LNKTYPE, size=0)
        if info.type not in _FILES:
            raise BadArchive(f"{shown(path)[:200]!r} is of the unknown type {info.type!r}.")
        return header

    def _read_extended(self, data: bytes) -> None:
        if (key := _LONG.get(self._extended_type)) is not None:
            self._next[key] = data.rstrip(b"\0")
            return
        into = self._next if self._extended_type == tarfile.XHDTYPE else self._global
        for key, value in _records(data):
            if key in _READ:
                into[key] = value
            elif key.startswith(_SPARSE):
                into[_SPARSE] = value


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Source: POSIX, pax, "pax Header Block"."""
    at = 0
    while at < len(data):
        digits, _, _ = data[at : at + 20].partition(b" ")
        if not digits.isdigit() or not len(digits) + 1 < int(digits) <= len(data) - at:
            raise BadArchive("The archive has an extended header that can't be read.")
        record = data[at + len(digits) + 1 : at + int(digits)]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals:
            raise BadArchive("The archive has an extended header that can't be read.")
        yield key, value
        at += int(digits)
