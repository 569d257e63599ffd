"""One search of a log, in parts of a bounded time and size. For the process that searches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from service.errors import OutputDropped
from service.output.chunk import UNKNOWN, Chunk
from service.output.filters.filter import Chain
from service.output.filters.rewriting import filters
from service.output.found_line import FoundLine
from service.output.places import find_places
from service.output.reader import LogReader
from service.output.records import Records
from service.output.search.lines import LineSearch
from service.output.search.pattern import compiled
from service.output.search.request import FoundGap, Part
from service.output.selected_cursor import SelectedCursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.output.index import Record
    from service.output.search.lines import Line
    from service.output.search.request import SearchRequest

__all__ = ["Search"]

_READ_BYTES: Final = 4 << 20
"""Of the log for one part: some milliseconds, so that many searches take turns."""

_PART_S: Final = 0.05
"""The same in seconds, for patterns whose every byte costs much."""

_FOUND_BYTES: Final = 128 << 10
"""Of what is found in one part, about."""

_LINE_BYTES: Final = 100
"""What a line costs beside its text."""


class Search:
    """Finds the lines of a request.

    Raises (as `next`): FileNotFoundError: there is no log. CorruptLog. OSError.
    """

    def __init__(self, request: SearchRequest) -> None:
        grep, wanted = request.grep, request.selection
        rewriting = filters(strips_ansi=wanted.strips_ansi, collapses_cr=wanted.collapses_cr)
        self._request = request
        self._lines = LineSearch(
            compiled(grep.pattern, ignores_case=grep.ignores_case),
            inverts=grep.inverts,
            context=grep.context,
            most=grep.most,
            numbers=request.attributes,
            rewriting=Chain(rewriting) if rewriting else None,
        )
        self._reader = LogReader.open(request.directory)
        try:
            self._state, places = find_places(
                self._reader,
                self._reader.state(),
                wanted,
                request.begin,
                skips_gap=not request.marks_gaps,
            )
            end = request.end if places.end is None else min(places.end, request.end)
            self._end = max(places.begin, end)
            places = places._replace(end=self._end)
            self._cursor = SelectedCursor(self._reader, wanted, places, attributed=False)
            self._records = Records(self._reader, self._state)
        except BaseException:
            self.close()
            raise
        self._run: tuple[int, int, Record] | None = None

    def close(self) -> None:
        """Lets go of the log."""
        self._reader.close()

    def next(self) -> Part:
        """The next part. Raises: CorruptLog, OSError."""
        found: list[FoundLine | FoundGap] = []
        begin, size = self._cursor.offset, 0
        is_last, until = False, None
        until_s = time.monotonic() + _PART_S
        while not is_last and size < _FOUND_BYTES and self._cursor.offset - begin < _READ_BYTES:
            try:
                lines, is_last = self._step()
            except OutputDropped as dropped:
                lines = self._lines.break_off()
                if self._request.marks_gaps:
                    found += map(self._found, lines)
                    found.append(FoundGap(self._cursor.offset, dropped.until))
                    self._cursor.skip_to(dropped.until)
                    continue
                is_last, until = True, dropped.until
            found += map(self._found, lines)
            size += sum(len(line.text) + _LINE_BYTES for line in lines)
            if time.monotonic() > until_s:
                break
        return Part(
            found=found,
            is_last=is_last,
            count=self._lines.count,
            offset=self._cursor.offset,
            end=self._end,
            dropped_until=until,
        )

    def _step(self) -> tuple[Sequence[Line], bool]:
        offset = self._cursor.offset
        chunks = self._cursor.next_chunks(self._state)
        if not chunks:
            return self._lines.break_off(), True
        lines: list[Line] = []
        for chunk in chunks:
            stream = self._request.selection.stream
            place = chunk.offset if stream is None else chunk.stream_offset
            lines += self._lines.feed(chunk.data, offset if place == UNKNOWN else place)
        return lines, self._lines.is_full and not self._request.counts

    def _found(self, line: Line) -> FoundLine:
        stream = self._request.selection.stream
        owner = (UNKNOWN, UNKNOWN, UNKNOWN)
        place = stream_place = line.offset
        if self._request.attributes:
            record = self._owner(line.offset)
            owner = (record.stream, record.command, record.time_ns)
            if stream is None:
                stream_place = record.stream_offset + line.offset - record.offset
            else:
                place = record.offset + line.offset - record.stream_offset
        elif stream is None:
            stream_place = UNKNOWN
        else:
            place = UNKNOWN
        chunk = Chunk(place, stream_place, *owner, line.text)
        return FoundLine(chunk, line.number, line.matches, line.follows)

    def _owner(self, offset: int) -> Record:
        """The run of the byte at `offset`."""
        if self._run is not None and self._run[0] <= offset < self._run[1]:
            return self._run[2]
        records, stream = self._records, self._request.selection.stream
        place = records.from_stream(offset, stream)
        side = next(side for side in records.sides if place < side.end)
        number = records.at(side, place)
        record = records.record(number)
        behind = side.end if number + 1 >= side.last else records.record(number + 1).offset
        begin = record.position_in(stream)
        self._run = (begin, begin + behind - record.offset, record)
        return record
