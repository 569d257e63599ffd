"""A directory of a job as a stream of bytes that is made while it is taken."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol

from service.files.archives.members import Member, Members
from service.files.archives.tar_encoder import GzippedTarEncoder, TarEncoder
from service.files.archives.zip_encoder import ZipEncoder
from service.files.names import shown
from service.files.place import Place

# Bytes that are read of a file at a time, and that a piece has at least, but for the last.
_PIECE_BYTES: Final = 256 << 10


class Incomplete(OSError):
    """The archive has all that could be read, and something couldn't."""


class Encoder(Protocol):
    """Makes the bytes of an archive. Calls: for each member `begin`, `data` for what is in it,
    `end`; then `finish`.
    """

    def begin(self, member: Member) -> bytes: ...

    def data(self, data: bytes) -> bytes: ...

    def end(self, *, missing: int) -> bytes:
        """`missing`: bytes by which the file was shorter than its status says. Raises: Incomplete,
        when the format can't tell of that.
        """

    def finish(self) -> bytes: ...

    def flush(self) -> bytes:
        """What has been held back, of an archive that won't be finished."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of archives."""

    media_type: str
    suffix: bytes
    encoder: Callable[[], Encoder]


FORMATS: Final[dict[str, Format]] = {
    "tar": Format("application/x-tar", b".tar", TarEncoder),
    "tar.gz": Format("application/gzip", b".tar.gz", GzippedTarEncoder),
    "zip": Format("application/zip", b".zip", ZipEncoder),
}


class Archive:
    """The directory at `path`. Its methods are called in threads, `close` at the end."""

    def __init__(self, place: Place, path: bytes, form: Format) -> None:
        self._place = place
        self._path = path
        self._encoder = form.encoder()
        self._calls = Lock()
        self._pieces: Generator[bytes, None, None] | None = None
        self._is_closed = False

    def next_piece(self) -> bytes | None:
        """The next bytes, empty ones perhaps; None at the end. Raises: Incomplete, in the place of
        the end; OSError.
        """
        with self._calls, self._place.acting() as top:
            if self._is_closed:
                return None
            if self._pieces is None:
                own_top = os.dup(top)
                self._pieces = self._made(own_top)
            parts, size = [], 0
            for data in self._pieces:
                parts.append(data)
                size += len(data)
                if size >= _PIECE_BYTES:
                    break
            return b"".join(parts) or None

    def close(self) -> None:
        """Whatever is open is closed, also when the archive isn't at its end."""
        with self._calls:
            self._is_closed = True
            if self._pieces is not None:
                self._pieces.close()

    def _made(self, top: int) -> Generator[bytes, None, None]:
        encoder = self._encoder
        try:
            members = Members(top, self._path)
            with closing(iter(members)) as found:
                for member in found:
                    yield encoder.begin(member)
                    missing = 0
                    if member.descriptor is not None:
                        missing = yield from self._content(member.descriptor, member.status.st_size)
                    yield encoder.end(missing=missing)
            if members.missed is not None:
                yield encoder.flush()
                why = os.strerror(members.missed.errno or errno.EIO)
                raise Incomplete(errno.EIO, f"{shown(members.missed_path)!r}: {why}")
            yield encoder.finish()
        finally:
            os.close(top)

    def _content(self, descriptor: int, size: int) -> Generator[bytes, None, int]:
        """As many bytes as the file had when it was opened; how many are missing."""
        left = size
        while left:
            data = os.read(descriptor, min(left, _PIECE_BYTES))
            if not data:
                break
            left -= len(data)
            yield self._encoder.data(data)
        return left
