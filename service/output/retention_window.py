"""When a log that has a limit drops bytes, and which: the gap's arithmetic, without I/O.

The head, half of the limit, is kept for ever. Of the rest the last half of the limit is kept, and
up to a step more: dropping in steps costs one call per step, not one per write. The index may
take as much room as the output. Where runs are so short that it would take more (below 32 bytes
on the average), head and tail are shorter than half of the limit each.

On disk that is at the very most `limit + 2 * step_bytes(limit)` for the output, as much for the
index, and what the file system rounds up at the edges.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from service.output.files import CHUNK_BYTES
from service.output.index import NO_GAP, RECORD_BYTES, STDOUT, Gap, Record

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RetentionWindow", "step_bytes"]

_MIN_STEP_BYTES = 64 * 1024
"""What one move out of a default pipe brings: smaller steps would be one per move."""

_MAX_STEP_BYTES = 1024 * 1024
"""Some hundred calls per second for the fastest writer; beyond it nothing is gained."""


def step_bytes(limit: int) -> int:
    """A sixteenth of the limit, from 64 KiB to 1 MiB: what is dropped at once, and the slack."""
    return min(max(limit // 16, _MIN_STEP_BYTES), _MAX_STEP_BYTES)


class RetentionWindow:
    """The limit of one log. A `limit` of 0 is none.

    Attributes:
        chunk_bytes: the most that may be added before `end_due` is looked at again.
        end_due: bytes are to be dropped when the log's end is beyond this,
        records_due: or when there are more records than this.
    """

    __slots__ = ("_half", "_records", "chunk_bytes", "end_due", "limit", "record", "records_due")

    def __init__(self, limit: int, gap: Gap, record: Callable[[int], Record]) -> None:
        """`record` gives the record of a number; it may be set anew when the files are made."""
        self.limit = limit
        self._half = limit // 2
        self._records = self._half // RECORD_BYTES
        self.record = record
        self.chunk_bytes = CHUNK_BYTES
        self.end_due = self.records_due = sys.maxsize
        if limit:
            self.chunk_bytes = min(CHUNK_BYTES, step_bytes(limit))
            self._dropped(gap)

    def next_gap(self, gap: Gap, end: int, record_count: int) -> Gap:
        """The gap that is due, given the present one, the log's end and its number of records."""
        if gap == NO_GAP:
            gap = self._first_gap(record_count)
        gap_end = max(gap.end, end - self._half)
        beyond = record_count - self._records
        if beyond > gap.record_end:
            gap_end = max(gap_end, self.record(beyond).offset)
        # The last one at or before the place is the one that the byte there belongs to.
        low = max(gap.record_end, gap.record_start - 1)
        number = bisect_right(range(record_count), gap_end, low, key=self._offset) - 1
        gap = gap._replace(
            end=gap_end, stdout_end=_stdout_at(gap_end, self.record(number)), record_end=number
        )
        self._dropped(gap)
        return gap

    def _first_gap(self, record_count: int) -> Gap:
        start = self._half
        if record_count > self._records:
            start = min(start, self.record(self._records).offset)
        number = bisect_left(range(record_count), start, key=self._offset)
        stdout_start = _stdout_at(start, self.record(number - 1))
        return Gap(start, start, stdout_start, stdout_start, number, 0)

    def _dropped(self, gap: Gap) -> None:
        step = step_bytes(self.limit)
        self.end_due = (gap.end or self._half) + self._half + step
        kept = gap.record_end if gap.end else self._records
        self.records_due = kept + self._records + step // RECORD_BYTES

    def _offset(self, number: int) -> int:
        return self.record(number).offset


def _stdout_at(offset: int, record: Record) -> int:
    own = offset - record.offset if record.stream == STDOUT else 0
    return record.position_in(STDOUT) + own
