"""Unpacking a stream of tar into a directory of a job, as its user, while it comes.

Rules
1. Each file is written under a temporary name, and renamed when it is whole; it replaces what was
   there. What comes before an error stays.
2. An entry whose path leads out of the directory (absolute, `..`) is refused, and so is a link
   whose target does (`inner_links`). Links that are there already are followed as far as they stay
   beneath the job's directory.
3. Owners aren't restored, nor are bits of a mode beyond the permissions. Modes and times of
   directories come last, as a directory that may not be written to may have files.
"""

from __future__ import annotations

import os
import secrets
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Final

from service.errors import BadArchive, BodyTooLarge
from service.files.archives.inner_links import outward
from service.files.archives.tar_reader import Content, Header, TarReader
from service.files.beneath import make_directories_beneath, open_beneath
from service.files.names import shown, wrong_in_path
from service.files.place import Place
from service.files.refusals import told
from service.files.writing import MODE_BITS

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSING: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_OWNERS_ALL: Final = 0o700
_GZIP: Final = 16 + zlib.MAX_WBITS
# Bytes that are decompressed at a time: a small body may be large.
_STEP_BYTES: Final = 256 << 10
# The formats that are unpacked, and whether they are compressed.
PACKED: Final = {"tar": False, "tar.gz": True}


class Unpacking:
    """Into the directory at `path`, which is made. Its methods are called in threads, `close` at
    the end, whatever has come before.
    """

    def __init__(self, place: Place, path: bytes, *, is_compressed: bool, most: int = 0) -> None:
        """`most`: bytes that all files of it may have; 0: any number.

        Raises: FileForbidden, WrongFileType, and what else `told` makes of an OSError.
        """
        self.entries = 0
        self._place = place
        self._most = most
        self._size = 0
        self._reader = TarReader()
        self._inflate = zlib.decompressobj(_GZIP) if is_compressed else None
        self._is_begun = False
        self._calls = Lock()
        self._parent: tuple[bytes, int] | None = None
        self._file: _File | None = None
        self._directories: dict[tuple[int, int], Header] = {}  # one for each, however often named
        with told(path), place.acting() as top:
            self._top = make_directories_beneath(top, path or b".", one_mount=True)

    def feed(self, data: bytes) -> None:
        """The next bytes of the archive. Raises: BadArchive; BodyTooLarge; as the constructor."""
        with self._calls, self._place.acting() as job_top:
            for plain in self._plain(data):
                for event in self._reader.feed(plain):
                    if isinstance(event, Header):
                        self._begin(event, job_top)
                    else:
                        self._content(event)

    def finish(self) -> None:
        """All has come. Raises: BadArchive, and as the constructor."""
        with self._calls, self._place.acting():
            if self._inflate is not None and not self._inflate.eof:
                raise BadArchive("The compressed archive ends too early.")
            self._reader.finish()
            for header in reversed(self._directories.values()):
                with told(header.path), suppress(FileNotFoundError):
                    self._finish_directory(header)

    def close(self) -> None:
        """A file that isn't whole is removed."""
        with self._calls:
            if self._file is not None:
                with self._place.acting():
                    self._file.discard()
                self._file = None
            if self._parent is not None:
                os.close(self._parent[1])
                self._parent = None
            if self._top >= 0:
                os.close(self._top)
                self._top = -1

    def _plain(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            yield data
            return
        while True:
            if self._inflate.eof:  # compressed in several parts, or filled up with zeros
                if not data.strip(b"\0"):
                    return
                self._inflate = zlib.decompressobj(_GZIP)
            try:
                plain = self._inflate.decompress(data, _STEP_BYTES)
            except zlib.error as exc:
                raise BadArchive(f"The body isn't compressed with gzip: {exc}.") from exc
            yield plain
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
            # As many bytes as it may give: there may be more in it, though it has taken all.
            if not data and len(plain) < _STEP_BYTES:
                return

    def _begin(self, header: Header, job_top: int) -> None:
        path = _inner_path(header.path)
        header = header._replace(path=path)
        self.entries += 1
        with told(path):
            if header.is_directory:
                self._make_directory(header)
            elif not path:
                raise BadArchive("An entry of the archive has no name.")
            elif header.link is None:
                self._size += header.size  # a small archive may have much in it
                if 0 < self._most < self._size:
                    raise BodyTooLarge(
                        f"{shown(path)[:200]!r}: the files of an archive may have {self._most}"
                        " bytes at most (JOBRUNNER_MAX_UPLOAD)."
                    )
                parent, name = self._place_of(path)
                self._file = _File(parent, name, header)
            elif header.is_hard:
                self._link(header, job_top)
            else:
                self._symlink(header, job_top)

    def _content(self, content: Content) -> None:
        assert self._file is not None  # noqa: S101 - its header came
        with told(self._file.header.path):
            self._file.write(content.data)
            if content.is_last:
                self._file.commit()
                self._file = None

    def _make_directory(self, header: Header) -> None:
        if header.path:
            descriptor = make_directories_beneath(self._top, header.path, one_mount=True)
            try:
                found = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            self._directories[found.st_dev, found.st_ino] = header

    def _finish_directory(self, header: Header) -> None:
        descriptor = open_beneath(
            self._top, header.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, one_mount=True
        )
        try:
            os.fchmod(descriptor, header.mode & MODE_BITS)
            os.utime(descriptor, ns=(header.modified_ns, header.modified_ns))
        finally:
            os.close(descriptor)

    def _link(self, header: Header, job_top: int) -> None:
        source = _inner_path(header.link or b"")
        if not source:
            raise BadArchive(f"{shown(header.path)[:200]!r} is a link to no file.")
        parent, name = self._place_of(header.path)
        above, _, source_name = source.rpartition(b"/")
        origin = open_beneath(self._top, above or b".", _PASSING, one_mount=True)
        try:
            # Another name of a link leads from where that name is.
            found = os.stat(source_name, dir_fd=origin, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(source_name, dir_fd=origin)
                _check_target(job_top, parent, header.path, target)
            temporary = _temporary_name()
            os.link(
                source_name,
                temporary,
                src_dir_fd=origin,
                dst_dir_fd=parent,
                follow_symlinks=False,
            )
        finally:
            os.close(origin)
        _rename(parent, temporary, name, is_link=True)

    def _symlink(self, header: Header, job_top: int) -> None:
        target = header.link or b""
        parent, name = self._place_of(header.path)
        _check_target(job_top, parent, header.path, target)
        temporary = _temporary_name()
        os.symlink(target, temporary, dir_fd=parent)
        _rename(parent, temporary, name)

    def _place_of(self, path: bytes) -> tuple[int, bytes]:
        """The directory that it is to be in, made when missing; most entries follow one that is in
        the same.
        """
        above, _, name = path.rpartition(b"/")
        if self._parent is None or self._parent[0] != above:
            descriptor = make_directories_beneath(self._top, above or b".", one_mount=True)
            if self._parent is not None:
                os.close(self._parent[1])
            self._parent = above, descriptor
        return self._parent[1], name


class _File:
    """A file that is being written."""

    __slots__ = ("_descriptor", "_name", "_parent", "_temporary", "header")

    def __init__(self, parent: int, name: bytes, header: Header) -> None:
        self.header = header
        self._parent = parent
        self._name = name
        self._temporary = _temporary_name()
        self._descriptor = os.open(self._temporary, _NEW, 0o600, dir_fd=parent)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def commit(self) -> None:
        os.fchmod(self._descriptor, self.header.mode & MODE_BITS)
        os.utime(self._descriptor, ns=(self.header.modified_ns, self.header.modified_ns))
        _rename(self._parent, self._temporary, self._name)
        os.close(self._descriptor)

    def discard(self) -> None:
        os.close(self._descriptor)
        with suppress(OSError):
            os.unlink(self._temporary, dir_fd=self._parent)


def _rename(parent: int, temporary: bytes, name: bytes, *, is_link: bool = False) -> None:
    try:
        if is_link:  # of two names of one file a rename does nothing
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
        os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _temporary_name() -> bytes:
    return f".jobrunner-{secrets.token_hex(8)}".encode()


def _inner_path(path: bytes) -> bytes:
    """Without `.` and needless slashes, as archivers write them; empty for the directory itself.

    Raises: BadArchive, when it leads out.
    """
    found = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))
    if path.startswith(b"/"):
        raise BadArchive(f"{shown(path)[:200]!r} is an absolute path, which leads out.")
    if found and (wrong := wrong_in_path(found)) is not None:
        raise BadArchive(f"{shown(path)[:200]!r}: {wrong}.")
    return found


def _check_target(job_top: int, parent: int, path: bytes, target: bytes) -> None:
    if (why := outward(job_top, parent, target)) is not None:
        raise BadArchive(f"{shown(path)[:200]!r} is a link {why}, to {shown(target)[:200]!r}.")
