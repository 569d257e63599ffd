"""Rows: lines, and of lines of more than 64 KiB the pieces. Found from any place, without an index.

1. A line ends with its LF, at the gap, or at the end of the log.
2. A line of more than 64 KiB, without its LF, is cut at each position that is a multiple of 64 KiB,
   or before the UTF-8 sequence that goes across it. So whether there is a cut is seen by looking 64
   KiB to either side.
3. A row belongs to the block of 64 KiB in which it begins; one behind a cut to the block behind it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from service.output.sequences import split_sequence

if TYPE_CHECKING:
    from service.output.lines.kept_log import KeptLog

__all__ = ["BLOCK_BYTES", "Block", "Row", "Rows"]

BLOCK_BYTES: Final = 64 * 1024

_NEWLINE: Final = re.compile(rb"\n")
_SEQUENCE: Final = 4


class Block(NamedTuple):
    """Where the rows of a block begin. `goes_on`: the first is of the line that is under way, or
    begins, where the block begins; each other begins a line.
    """

    starts: list[int]
    goes_on: bool


class Row(NamedTuple):
    """From one position to before another, in the `block` with that number. `newlines`: so many
    lines begin in it behind the one that begins, or is under way, where the block begins.
    """

    begin: int
    end: int
    block: int
    newlines: int


class Rows:
    """Of one log, for one reader of a few blocks."""

    def __init__(self, log: KeptLog) -> None:
        self._log = log
        self._blocks: dict[int, Block] = {}

    @property
    def last_block(self) -> int:
        """The number of the last one that has bytes; 0 of a log without."""
        return max(self._log.size - 1, 0) // BLOCK_BYTES

    def rows(self, number: int) -> list[Row]:
        """Those of a block."""
        block = self._block(number)
        if not block.starts:
            return []
        ends = [*block.starts[1:], self._next_start(number)]
        first = 0 if block.goes_on else 1
        return [
            Row(begin, end, number, first + count)
            for count, (begin, end) in enumerate(zip(block.starts, ends, strict=True))
        ]

    def _next_start(self, number: int) -> int:
        for later in range(number + 1, self.last_block + 1):
            if starts := self._block(later).starts:
                return starts[0]
        return self._log.size

    def _block(self, number: int) -> Block:
        if number not in self._blocks:
            self._blocks[number] = self._found(number)
        return self._blocks[number]

    def _found(self, number: int) -> Block:
        log = self._log
        begin = number * BLOCK_BYTES
        end = min(begin + BLOCK_BYTES, log.size)
        if begin >= end:
            return Block([], goes_on=False)
        data = log.read(begin, end)
        starts = [begin + match.end() for match in _NEWLINE.finditer(data)]
        if starts and starts[-1] == end:
            starts.pop()
        if begin < log.break_at < end and log.break_at not in starts:
            starts = sorted([*starts, log.break_at])
        first = self._first(begin, data)
        return Block(starts if first is None else [first, *starts], goes_on=first is not None)

    def _first(self, begin: int, data: bytes) -> int | None:
        """Where the row begins that is the block's first, if it isn't one with a line in it."""
        log = self._log
        if begin in (0, log.break_at) or log.read(begin - 1, begin) == b"\n":
            return begin
        # With the byte before, which may end the line before.
        least = max(0, begin - BLOCK_BYTES - 1)
        if least <= log.break_at < begin:
            least = log.break_at
        newline = log.read(least, begin).rfind(b"\n")
        is_known = newline >= 0 or least in (0, log.break_at)
        if is_known:
            line = least + newline + 1
            limit = log.break_at if begin < log.break_at else log.size
            # The line's first byte too many: there, and before it no end.
            last = line + BLOCK_BYTES + 1
            if last > limit or data.find(b"\n", 0, last - begin) >= 0:
                return None
        around = log.read(begin - _SEQUENCE, begin + _SEQUENCE)
        return begin - split_sequence(around, _SEQUENCE)[0]
