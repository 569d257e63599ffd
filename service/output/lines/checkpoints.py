"""The format of `output.lines`: what is known of a log at each multiple of 64 KiB. No I/O.

Entry N, of 48 bytes, is about the position N * 64 KiB (`kept_log`). It says nothing that the log
doesn't say, so processes that write the same entry write the same bytes, without a lock.

Each entry has a checksum of its own, begun with the log's `identity`, with the gap where it is
behind that, and with the bytes before it: an entry of another log, of another gap, or damaged, is
none.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

from service.output.lines.sgr import PLAIN, STYLE_BYTES, Style

__all__ = ["CHECKED_BYTES", "ENTRY_BYTES", "VERSION", "Checkpoint", "seed_of"]

VERSION: Final = 1

CHECKED_BYTES: Final = 64
"""Of the log before a place: a log that differs there isn't the one that was indexed."""

_ENTRY: Final = struct.Struct(f"<QQ{STYLE_BYTES}s12x")
_CHECK: Final = struct.Struct("<I")
ENTRY_BYTES: Final = _ENTRY.size + _CHECK.size
_SEED: Final = struct.Struct("<IQQ")


class Checkpoint(NamedTuple):
    """At a position: `line` is the number of the line that begins there, or is under way, from 1;
    `style` is what the bytes before it have set.
    """

    position: int = 0
    line: int = 1
    style: Style = PLAIN

    def pack(self, seed: int, before: bytes) -> bytes:
        """In `ENTRY_BYTES`. `before` are the log's bytes before the position, `CHECKED_BYTES` or
        as many as there are.
        """
        body = _ENTRY.pack(self.position, self.line, self.style.pack())
        return body + _CHECK.pack(zlib.crc32(before, zlib.crc32(body, seed)))

    @classmethod
    def unpack(cls, raw: bytes, seed: int, before: bytes) -> Checkpoint | None:
        """From those; None if they are not an entry of this log."""
        if len(raw) != ENTRY_BYTES:
            return None
        body = raw[: _ENTRY.size]
        if _CHECK.unpack_from(raw, len(body)) != (zlib.crc32(before, zlib.crc32(body, seed)),):
            return None
        position, line, style = _ENTRY.unpack(body)
        return cls(position, line, Style.unpack(style))


def seed_of(identity: int, dropped: int) -> int:
    """What checksums begin with. `dropped`: bytes of the gap, for places behind it."""
    return zlib.crc32(_SEED.pack(VERSION, identity, dropped))
