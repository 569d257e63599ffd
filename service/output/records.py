"""Searching the index of a log: by place, by time, and for the runs of a stream or a command.

A place is an offset of both streams together, whatever a reader counts. On each side of a gap the
records are searched by themselves. What is found holds for the state that it was found in: who
reads a log that drops bytes looks at its gap again afterwards.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from service.errors import CorruptLog
from service.output.index import RECORD_BYTES, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.output.index import LogState
    from service.output.reader import LogReader

__all__ = ["Records", "Side"]

_BLOCK: Final = 1024
"""Records that are read at once."""

# Where these stand in a record: the lowest byte of the command, and the stream.
_COMMAND_AT: Final = 24
_STREAM_AT: Final = 28


class Side(NamedTuple):
    """What lies before the gap, or behind it: the records from `first` to before `last`, and the
    bytes of both streams from `begin` to before `end`.
    """

    first: int
    last: int
    begin: int
    end: int


class Records:
    """The records that `state` tells of."""

    __slots__ = ("_reader", "sides", "state")

    def __init__(self, reader: LogReader, state: LogState) -> None:
        self._reader = reader
        self.state = state
        self.sides = self._sides()

    def record(self, number: int) -> Record:
        """Raises: CorruptLog, when it isn't there."""
        found = self._reader.record(number)
        if found is None:
            msg = f"no record {number}, of {self.state.end} bytes of output"
            raise CorruptLog(msg)
        return found

    def at(self, side: Side, place: int) -> int:
        """The number of the record whose run has the byte at `place`."""
        found = bisect_right(
            range(side.last), place, side.first, key=lambda number: self.record(number).offset
        )
        return max(found - 1, side.first)

    def since(self, time_ns: int) -> int:
        """The place from which on all came at that time or later, to 10 ms; a gap that may have
        such bytes is behind it.

        Where the clock was set back, times don't grow. It is then a place where an earlier time
        stands before it, and that time or a later one behind it.
        """
        for number, side in enumerate(self.sides):
            found = bisect_left(
                range(side.last), time_ns, side.first, key=lambda n: self.record(n).time_ns
            )
            if found == side.last:
                continue
            if found > side.first:
                return self.record(found).offset
            return self.sides[number - 1].end if number else side.begin
        return self.state.end

    def in_stream(self, place: int, stream: int | None) -> int:
        """How many bytes of that stream lie before `place`."""
        if stream is None:
            return place
        for side in self.sides:
            if side.begin <= place < side.end:
                record = self.record(self.at(side, place))
                own = place - record.offset if record.stream == stream else 0
                return record.position_in(stream) + own
        gap = self.state.gap
        if gap.start <= place < gap.end:
            return gap.of(stream)[0]
        return self.state.size(stream)

    def from_stream(self, offset: int, stream: int | None) -> int:
        """The place of the byte at `offset` of that stream; the end when there is none yet."""
        if stream is None:
            return offset
        start, end = self.state.gap.of(stream)
        if start <= offset < end:
            return self.state.gap.start
        for side in self.sides:
            found = bisect_right(
                range(side.last),
                offset,
                side.first,
                key=lambda number: self.record(number).position_in(stream),
            )
            if found == side.first:
                continue
            record = self.record(found - 1)
            place = record.offset + offset - record.position_in(stream)
            run_end = side.end if found == side.last else self.record(found).offset
            if record.stream == stream and place < run_end:
                return max(place, side.begin)
        return self.state.end

    def runs(
        self, side: Side, place: int, stream: int | None, command: int | None
    ) -> Iterator[tuple[int, int]]:
        """From `place` on, where bytes of both are: from one place to before another."""
        if stream is None and command is None:
            yield max(place, side.begin), side.end
            return
        number = self.at(side, place)
        while number < side.last:
            count = min(_BLOCK, side.last - number)
            raw = self._reader.raw_records(number, count)
            if _may_have(raw, stream, command):
                for record, end in self._ends(raw, number, side):
                    begin = max(record.offset, place, side.begin)
                    if _is_wanted(record, stream, command) and begin < end:
                        yield begin, end
            number += count

    def runs_back(
        self, side: Side, stream: int | None, command: int | None
    ) -> Iterator[tuple[int, int]]:
        """The same from the end to the beginning."""
        if stream is None and command is None:
            yield side.begin, side.end
            return
        last = side.last
        while last > side.first:
            count = min(_BLOCK, last - side.first)
            number = last - count
            raw = self._reader.raw_records(number, count)
            if _may_have(raw, stream, command):
                for record, end in reversed(self._ends(raw, number, side)):
                    begin = max(record.offset, side.begin)
                    if _is_wanted(record, stream, command) and begin < end:
                        yield begin, end
                last = number
            elif stream is None:
                last = number
            else:
                last = self._last_run_before(side, number, stream)

    def _last_run_before(self, side: Side, number: int, stream: int) -> int:
        """Behind the last run before record `number` in which the stream grew."""
        return bisect_left(
            range(number),
            self.record(number).position_in(stream),
            side.first,
            key=lambda each: self.record(each).position_in(stream),
        )

    def _ends(self, raw: bytes, number: int, side: Side) -> list[tuple[Record, int]]:
        records = Record.unpack_many(raw)
        behind = number + len(records)
        last_end = side.end if behind >= side.last else self.record(behind).offset
        ends = [record.offset for record in records[1:]] + [last_end]
        return [(record, min(end, side.end)) for record, end in zip(records, ends, strict=True)]

    def _sides(self) -> list[Side]:
        state, gap = self.state, self.state.gap
        if not state.end:
            return []
        sides = []
        first = begin = 0
        if gap.end:
            before = min(gap.start, state.end)
            sides.append(Side(0, gap.record_start, 0, before))
            first, begin = gap.record_end, gap.end
        if begin < state.end:
            last = bisect_left(
                range(self._reader.record_count()),
                state.end,
                first,
                key=lambda number: self.record(number).offset,
            )
            sides.append(Side(first, last, begin, state.end))
        return sides


def _is_wanted(record: Record, stream: int | None, command: int | None) -> bool:
    return stream in (None, record.stream) and command in (None, record.command)


def _may_have(raw: bytes, stream: int | None, command: int | None) -> bool:
    """Whether one of the records can be of both; a column of bytes is looked through at once."""
    if stream is not None and stream not in raw[_STREAM_AT::RECORD_BYTES]:
        return False
    return command is None or command & 0xFF in raw[_COMMAND_AT::RECORD_BYTES]
