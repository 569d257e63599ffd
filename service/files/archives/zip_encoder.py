"""Zip, written front to back: sizes and checksums stand behind each file, and again in the
directory at the end, which is all that is kept until then (about a hundred bytes for each file).

Files of 4 GiB and more, and more than 65534 of them, have the extension Zip64.
Source: APPNOTE.TXT of PKWARE, 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import stat
import struct
import time
import zlib
from dataclasses import dataclass
from typing import Final

from service.files.archives.members import Member

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_DESCRIPTOR: Final = struct.Struct("<4s3L")
_DESCRIPTOR_64: Final = struct.Struct("<4sL2Q")
_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_STORED, _DEFLATED = 0, 8
_HAS_DESCRIPTOR: Final = 0x08
_IS_UTF8: Final = 0x800
_VERSION: Final = 20
_VERSION_64: Final = 45
_UNIX: Final = 3 << 8
_ALL_32: Final = 0xFFFFFFFF
_ALL_16: Final = 0xFFFF
# From this size on a file has 64 bits for its sizes: compressed, it may be a little larger.
_LARGE: Final = 0xF0000000
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_DIRECTORY_BIT: Final = 0x10


@dataclass(slots=True)
class _File:
    name: bytes
    flags: int
    method: int
    at: tuple[int, int]  # time, date
    mode: int
    offset: int
    is_large: bool
    crc: int = 0
    size: int = 0
    packed: int = 0


class ZipEncoder:
    """See `service.files.archives.archive.Encoder`."""

    def __init__(self) -> None:
        self._size = 0
        self._count = 0
        self._directory = bytearray()
        self._file: _File | None = None
        self._deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    def begin(self, member: Member) -> bytes:
        mode = member.status.st_mode
        is_file = member.descriptor is not None
        name = member.path + (b"/" if stat.S_ISDIR(mode) else b"")
        self._file = file = _File(
            name,
            _HAS_DESCRIPTOR | (_IS_UTF8 if _is_utf8(name) else 0),
            _DEFLATED if is_file else _STORED,
            _dos_time(member.status.st_mtime),
            stat.S_IFMT(mode) | (mode & 0o777),
            self._size,
            is_file and member.status.st_size >= _LARGE,
        )
        self._deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        extra = struct.pack("<2H2Q", 1, 16, 0, 0) if file.is_large else b""
        sizes = _ALL_32 if file.is_large else 0
        head = _LOCAL.pack(
            b"PK\3\4",
            _VERSION_64 if file.is_large else _VERSION,
            file.flags,
            file.method,
            *file.at,
            0,
            sizes,
            sizes,
            len(name),
            len(extra),
        )
        head = self._counted(head + name + extra)
        return head if member.target is None else head + self.data(member.target)

    def data(self, data: bytes) -> bytes:
        file = self._current
        file.crc = zlib.crc32(data, file.crc)
        file.size += len(data)
        packed = data if file.method == _STORED else self._deflate.compress(data)
        file.packed += len(packed)
        return self._counted(packed)

    def end(self, *, missing: int) -> bytes:  # noqa: ARG002 - the sizes come now
        file = self._current
        rest = b"" if file.method == _STORED else self._deflate.flush()
        file.packed += len(rest)
        descriptor = _DESCRIPTOR_64 if file.is_large else _DESCRIPTOR
        told = descriptor.pack(b"PK\7\x08", file.crc, file.packed, file.size)
        self._directory += _central(file)
        self._count += 1
        return self._counted(rest + told)

    def finish(self) -> bytes:
        begin, length, count = self._size, len(self._directory), self._count
        is_large = begin >= _ALL_32 or length >= _ALL_32 or count >= _ALL_16
        end = b""
        if is_large:
            end = _END_64.pack(
                b"PK\6\6",
                _END_64.size - 12,
                _UNIX | _VERSION_64,
                _VERSION_64,
                0,
                0,
                count,
                count,
                length,
                begin,
            )
            end += _LOCATOR_64.pack(b"PK\6\7", 0, begin + length, 1)
        counts = min(count, _ALL_16)
        end += _END.pack(
            b"PK\5\6", 0, 0, counts, counts, min(length, _ALL_32), min(begin, _ALL_32), 0
        )
        return bytes(self._directory) + end

    def flush(self) -> bytes:
        return b""

    @property
    def _current(self) -> _File:
        assert self._file is not None  # noqa: S101 - `begin` comes first
        return self._file

    def _counted(self, data: bytes) -> bytes:
        self._size += len(data)
        return data


def _central(file: _File) -> bytes:
    large = [value for value in (file.size, file.packed, file.offset) if value >= _ALL_32]
    extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    is_directory = file.name.endswith(b"/")
    head = _CENTRAL.pack(
        b"PK\1\2",
        _UNIX | _VERSION_64,
        _VERSION_64 if large or file.is_large else _VERSION,
        file.flags,
        file.method,
        *file.at,
        file.crc,
        min(file.packed, _ALL_32),
        min(file.size, _ALL_32),
        len(file.name),
        len(extra),
        0,
        0,
        0,
        file.mode << 16 | (_DIRECTORY_BIT if is_directory else 0),
        min(file.offset, _ALL_32),
    )
    return head + file.name + extra


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _dos_time(seconds: float) -> tuple[int, int]:
    """Time and date in UTC, to two seconds."""
    at = time.gmtime(max(0, min(seconds, 2**32)))
    year = min(max(at.tm_year, _FIRST_YEAR), _LAST_YEAR)
    return (
        at.tm_hour << 11 | at.tm_min << 5 | at.tm_sec // 2,
        (year - _FIRST_YEAR) << 9 | at.tm_mon << 5 | at.tm_mday,
    )
