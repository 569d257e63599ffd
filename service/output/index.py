"""The format of `runs`, the index beside a job's `output`: values to bytes and back, no I/O.

A header of 128 bytes says how far `output` may be read, and what of it was dropped. Records of 32
bytes follow; each says whose bytes begin at its offset: which stream's, which command's, when.

1. A record is written before the first byte of its run. The run goes to the next record's
   offset, the last one's to the end.
2. A record with the same offset as the following one is superseded: its run is empty.
3. Offsets never fall from one record to the next, neither in the file nor in either stream,
   so a binary search finds an offset of any of the three.
4. A record whose offset is not below the header's end may still be rewritten. Readers take the
   header first and leave such records alone.
5. What was dropped is one range, the gap. It begins where it began for ever, and grows at its end
   only. Its bytes, and the records that speak of nothing else, read as anything from the moment
   on that the header tells of it, never before.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from service.errors import CorruptLog

__all__ = [
    "HEADER_BYTES",
    "NO_GAP",
    "RECORD_BYTES",
    "STDERR",
    "STDOUT",
    "Gap",
    "LogState",
    "Record",
    "TornHeader",
    "record_position",
]

MAGIC = b"JOBRUNS\n"
VERSION = 1
STDOUT = 1
STDERR = 2

HEADER_BYTES = 128
RECORD_BYTES = 32
"""A divisor of the page size, like the header: no record ever lies across two pages."""

_CLOSED = 1
_COMPLETE = 2
_HEADER = struct.Struct("<8sIIQQ")
_DROPPED = struct.Struct("<Q6Q36x")
_NOTHING_DROPPED = bytes(_DROPPED.size)
_CHECK = struct.Struct("<I")
_RECORD = struct.Struct("<QQQIB3x")


class TornHeader(CorruptLog):
    """The header's checksum is wrong: it was read while it was being written, or is damaged."""

    code = "output_header_torn"


class Gap(NamedTuple):
    """What was dropped: the bytes from `start` to before `end`, none when both are 0.

    `stdout_start` and `stdout_end` count the bytes of standard output before those two places.
    Records from `record_start` to before `record_end` are dropped with them, none when the latter
    isn't the greater one: those before `record_start` are about the bytes before the gap, those
    from `record_end` on about the bytes behind it.
    """

    start: int = 0
    end: int = 0
    stdout_start: int = 0
    stdout_end: int = 0
    record_start: int = 0
    record_end: int = 0

    def of(self, stream: int | None) -> tuple[int, int]:
        """What is missing, in the offsets of one stream, or of both together for None."""
        if stream is None:
            return self.start, self.end
        if stream == STDOUT:
            return self.stdout_start, self.stdout_end
        return self.start - self.stdout_start, self.end - self.stdout_end


NO_GAP = Gap()


class LogState(NamedTuple):
    """How far a log goes, and whether it ever goes further: all that the header says.

    `closed`: not one byte is added any more. `complete`: closed, and nothing can be missing but
    what `gap` tells. `limit`: bytes kept, 0 for all; without a limit there never is a gap.
    """

    end: int = 0
    stdout_end: int = 0
    closed: bool = False
    complete: bool = False
    limit: int = 0
    gap: Gap = NO_GAP

    def size(self, stream: int | None = None) -> int:
        """Bytes of one stream, or of both together for None."""
        if stream is None:
            return self.end
        return self.stdout_end if stream == STDOUT else self.end - self.stdout_end

    def pack(self) -> bytes:
        """The header's 128 bytes, to be written by one pwrite."""
        flags = _CLOSED * self.closed | _COMPLETE * self.complete
        body = _HEADER.pack(MAGIC, VERSION, flags, self.end, self.stdout_end)
        if self.limit or self.gap is not NO_GAP:
            body += _DROPPED.pack(self.limit, *self.gap)
        else:
            body += _NOTHING_DROPPED  # by far the most, and once per move of bytes
        # Reads of a file are not atomic against writes (ext4 takes no lock for them), so the
        # header carries a checksum: a reader sees both numbers of one moment, or tries again.
        return body + _CHECK.pack(zlib.crc32(body))

    @classmethod
    def unpack(cls, raw: bytes) -> LogState:
        """Reads a header.

        Raises:
            TornHeader: the checksum doesn't fit; reading again may help.
            CorruptLog: no header, or of another version.
        """
        if len(raw) != HEADER_BYTES:
            msg = f"a header has {HEADER_BYTES} bytes, this file only {len(raw)}"
            raise CorruptLog(msg)
        body = raw[: -_CHECK.size]
        if _CHECK.unpack_from(raw, len(body)) != (zlib.crc32(body),):
            msg = "the header's checksum is wrong"
            raise TornHeader(msg)
        magic, version, flags, end, stdout_end = _HEADER.unpack_from(body)
        limit, *gap = _DROPPED.unpack_from(body, _HEADER.size)
        if magic != MAGIC or version != VERSION:
            msg = f"expected an index of version {VERSION}, found {magic!r} version {version}"
            raise CorruptLog(msg)
        closed, complete = bool(flags & _CLOSED), bool(flags & _COMPLETE)
        return cls(end, stdout_end, closed, complete, limit, Gap._make(gap) if any(gap) else NO_GAP)


class Record(NamedTuple):
    """The beginning of one run: from `offset` on, bytes of this stream of this command.

    `stream_offset` counts the stream's own bytes before it, `time_ns` is the wall clock.
    """

    offset: int
    stream_offset: int
    time_ns: int
    command: int
    stream: int

    def position_in(self, stream: int | None) -> int:
        """How many bytes of that stream lie before this record, whichever stream it begins; of
        both together for None.
        """
        if stream is None:
            return self.offset
        return self.stream_offset if stream == self.stream else self.offset - self.stream_offset

    @property
    def is_sound(self) -> bool:
        """False for what can't be a record, such as zeros left by a power cut."""
        return self.stream in (STDOUT, STDERR) and self.stream_offset <= self.offset

    def pack(self) -> bytes:
        """The record's 32 bytes."""
        return _RECORD.pack(*self)

    @classmethod
    def unpack_many(cls, raw: bytes) -> list[Record]:
        """Reads the whole records in `raw`, leaving a torn one at its end alone."""
        whole = len(raw) - len(raw) % RECORD_BYTES
        return [cls._make(fields) for fields in _RECORD.iter_unpack(raw[:whole])]


def record_position(number: int) -> int:
    """Where record `number`, counted from 0, stands in the file."""
    return HEADER_BYTES + number * RECORD_BYTES
