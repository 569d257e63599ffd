"""Tar, as GNU tar writes it: names are bytes as they are, of any length, and sizes have no bound.

Owners don't go in: they are users of the service's host.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
import zlib
from typing import Final

from service.files.archives.members import Member

_BLOCK: Final = 512
# GNU tar and others write whole records of this size. Source: tar(5).
_RECORD: Final = 10240
_PERMISSIONS: Final = 0o777
_GZIP: Final = 16 + zlib.MAX_WBITS


class TarEncoder:
    """See `service.files.archives.archive.Encoder`."""

    def __init__(self) -> None:
        self._size = 0  # of all so far
        self._padding = 0

    def begin(self, member: Member) -> bytes:
        mode = member.status.st_mode
        info = tarfile.TarInfo(os.fsdecode(member.path))
        info.mode = mode & _PERMISSIONS
        info.mtime = int(member.status.st_mtime)
        if stat.S_ISDIR(mode):
            info.type = tarfile.DIRTYPE
        elif member.target is not None:
            info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(member.target)
        else:
            info.size = member.status.st_size
        self._padding = -info.size % _BLOCK
        return self._counted(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    def data(self, data: bytes) -> bytes:
        return self._counted(data)

    def end(self, *, missing: int) -> bytes:
        if missing:  # the head has told its size
            raise OSError(errno.EIO, "a file became shorter while it was read")
        return self._counted(bytes(self._padding))

    def finish(self) -> bytes:
        end = bytes(2 * _BLOCK)
        return end + bytes(-(self._size + len(end)) % _RECORD)

    def flush(self) -> bytes:
        return b""

    def _counted(self, data: bytes) -> bytes:
        self._size += len(data)
        return data


class GzippedTarEncoder:
    """The same, compressed."""

    def __init__(self) -> None:
        self._tar = TarEncoder()
        self._zip = zlib.compressobj(wbits=_GZIP)

    def begin(self, member: Member) -> bytes:
        return self._zip.compress(self._tar.begin(member))

    def data(self, data: bytes) -> bytes:
        return self._zip.compress(self._tar.data(data))

    def end(self, *, missing: int) -> bytes:
        return self._zip.compress(self._tar.end(missing=missing))

    def finish(self) -> bytes:
        return self._zip.compress(self._tar.finish()) + self._zip.flush()

    def flush(self) -> bytes:
        return self._zip.flush(zlib.Z_SYNC_FLUSH)
