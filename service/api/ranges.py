"""Byte ranges of a log: what a `Range` header asks for, and which bytes that is of what is there.

No I/O. A log only grows, and one range of it may be missing (the gap). So a range without an end is
one of what there is now, one that begins in the gap begins at the gap's end, and one that begins
before the gap ends there: bytes on both sides of a gap never follow each other.

Source: RFC 9110, section 14.1.2; RFC 8673 for a range that goes on for as long as the log does.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from service.api.forms import Form
from service.errors import BadQuery

# The last byte of a range that is to go on while the log grows. Source: RFC 8673, section 2.
FOLLOWING: Final = 2**53 - 1

# Offsets are signed 64-bit numbers in the kernel.
_BEYOND_ALL: Final = 2**63
# As long as a number may be; one beyond every file is well formed.
_NUMBER: Final = "[0-9]{1,40}"
_ONE: Final = re.compile(rf"({_NUMBER})-({_NUMBER})?|-({_NUMBER})")
_UNIT: Final = "bytes="


class ByteRange(msgspec.Struct, frozen=True):
    """From byte `first` to byte `last`, both included; `last` None: to the end. `first` None: the
    last `count` bytes.
    """

    first: int | None
    last: int | None = None
    count: int = 0

    @property
    def follows(self) -> bool:
        """Whether it is to go on while the log grows."""
        return self.first is not None and self.last == FOLLOWING

    def begin(self, size: int) -> int:
        """Its first byte in a log with so many; perhaps beyond the end."""
        return max(0, size - self.count) if self.first is None else self.first

    def part(self, size: int, gap: tuple[int, int] = (0, 0)) -> tuple[int, int] | None:
        """What there is of it, from byte to before byte, of a log with so many bytes and that gap.

        None: it begins at the end or beyond. Nothing, when it begins in the gap, and nothing comes
        behind that. One that lies in the gap as a whole has as many bytes from the gap's end on.
        """
        begin = self.begin(size)
        if begin >= size:
            return None
        end = size if self.last is None else min(size, self.last + 1)
        missing, until = gap
        if begin < missing:
            return begin, min(end, missing)
        if begin < until:
            return until, min(size, max(end, until + end - begin))
        return begin, end


def check_begin(offset: int, wanted: ByteRange | None) -> None:
    """Raises: BadQuery, when both say where to begin."""
    if offset and wanted is not None:
        raise BadQuery(
            "The query parameter 'offset' and the header 'Range' contradict each other: both say"
            " where to begin."
        )


def parse_range(text: str) -> ByteRange | None:
    """The first range of a header; None for a header that is to be ignored: of another unit, or
    malformed.
    """
    if not text.lower().startswith(_UNIT):
        return None
    ranges = [found for each in text[len(_UNIT) :].split(",") if (found := each.strip(" \t"))]
    parsed = [_one(each) for each in ranges]
    return None if not parsed or None in parsed else parsed[0]


def _one(text: str) -> ByteRange | None:
    found = _ONE.fullmatch(text)
    if found is None:
        return None
    first, last, count = (None if number is None else int(number) for number in found.groups())
    if count is not None:
        # The last zero bytes begin beyond the last byte, and no byte that comes is one of them.
        return ByteRange(None, count=count) if count else ByteRange(_BEYOND_ALL)
    if first is None or (last is not None and last < first):
        return None
    return ByteRange(first, last)


RANGE: Final[Form[ByteRange | None]] = Form(
    parse_range,
    "a range of bytes",
    {"type": "string"},  # of any form: what is no range is ignored
)
