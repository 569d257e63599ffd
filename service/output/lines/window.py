"""Some rows of a log around a place, with all that a viewer shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from service.errors import CorruptLog
from service.output.lines.kept_log import KeptLog
from service.output.lines.owners import owners
from service.output.lines.rows import BLOCK_BYTES, Rows
from service.output.lines.sgr import MAX_SEQUENCE_BYTES, after
from service.output.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.output.index import LogState, Record
    from service.output.lines.checkpoints import Checkpoint
    from service.output.lines.line_index import LineIndex
    from service.output.lines.rows import Row
    from service.output.reader import LogReader

__all__ = ["MAX_TEXT_BYTES", "LineWindow", "ShownLine", "Wanted", "is_numbered", "read_window"]

MAX_TEXT_BYTES: Final = 1024 * 1024
"""Of one window: before its place at most half of it."""

_MAX_BLOCKS: Final = 256
"""That are looked through for the rows of one stream, in either direction."""

_TRIES: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """The row at the offset `at`, or with the number `line`; negative: from the end. With so many
    rows `before` and `behind` it, of one `stream` or both.
    """

    at: int | None
    line: int | None
    before: int
    behind: int
    stream: int | None = None


class ShownLine(NamedTuple):
    """A row, with its bytes; `number` None: the index hasn't come there."""

    number: int | None
    offset: int
    end: int
    record: Record
    data: bytes


@dataclass(frozen=True, slots=True)
class LineWindow:
    """Attributes:
    lines: the rows.
    begin, end: the offsets between which there are no other ones.
    style: the escape sequence of what is set where the first row begins; None: not known.
    total: lines up to `indexed`.
    indexed: up to which offset lines are numbered.
    state: of the log.
    """

    lines: list[ShownLine]
    begin: int
    end: int
    style: str | None
    total: int
    indexed: int
    state: LogState


def is_numbered(
    reader: LogReader, index: LineIndex, state: LogState, wanted: Wanted, missing: int | None = None
) -> bool:
    """Whether the index has come to what is wanted; or more than `missing` bytes are missing."""
    log = KeptLog(reader, state)
    known = index.known(log)
    if known >= log.size or (missing is not None and known + missing < log.size):
        return True
    if wanted.at is not None:
        return known > log.position(wanted.at) + BLOCK_BYTES
    last = index.checkpoint(log, known // BLOCK_BYTES - 1) if known else None
    return last is not None and 0 < (wanted.line or 0) < last.line


def read_window(reader: LogReader, index: LineIndex, state: LogState, wanted: Wanted) -> LineWindow:
    """What is wanted, of the log as `state` tells of it or as it is a moment later.

    Raises:
        CorruptLog: the files contradict each other.
        OSError: the disk fails.
    """
    for _ in range(_TRIES):
        log = KeptLog(reader, state)
        try:
            found = _Window(reader, index, log, wanted).read()
        except (CorruptLog, OSError):
            now = reader.state()
            if now.gap == state.gap:
                raise
        else:
            if not state.limit or state.closed:
                return found
            now = reader.state()
            if now.gap == state.gap:
                return found
        state = now
    raise CorruptLog("what is kept of the output changes faster than it can be read")


class _Window:
    def __init__(self, reader: LogReader, index: LineIndex, log: KeptLog, wanted: Wanted) -> None:
        self._reader = reader
        self._index = index
        self._log = log
        self._wanted = wanted
        self._rows = Rows(log)
        self._records = Records(reader, log.state)
        self._owners = partial(owners, reader, self._records, log)
        self._checkpoints: dict[int, Checkpoint | None] = {}

    def read(self) -> LineWindow:
        log, wanted = self._log, self._wanted
        total, indexed = self._total()
        place = self._place(total)
        rows: list[Row] = []
        begin = end = log.size
        style: str | None = ""
        if log.size and place is not None:
            number, around = self._at(place)
            first = next(row.begin for row in around if row.end > place)
            before, begin = self._before(number, around, place)
            if len(before) > wanted.before:
                before = before[len(before) - wanted.before :]
                begin = before[0].begin if before else first
            behind, end = self._behind(number, around, place)
            if len(behind) > wanted.behind + 1:
                behind = behind[: wanted.behind + 1]
                end = behind[-1].end
            if count := _too_many(before[::-1]):
                before = before[count:]
                begin = before[0].begin
            if count := _too_many(behind):
                behind = behind[:-count]
                end = behind[-1].end
            rows = before + behind
            style = self._style(rows[0].begin) if rows else ""
        offset = log.offset
        lines = list(self._shown(rows))
        return LineWindow(
            lines, offset(begin), offset(end), style, total, offset(indexed), log.state
        )

    def _total(self) -> tuple[int, int]:
        """How many lines begin before which position."""
        known = self._index.known(self._log)
        last = self._checkpoint((known - 1) // BLOCK_BYTES) if known else None
        if last is None:
            return 0, 0
        rows = self._rows.rows(last.position // BLOCK_BYTES)
        return last.line + (rows[-1].newlines if rows else 0), known

    def _place(self, total: int) -> int | None:
        """The position of the row that is wanted, or of a byte in it."""
        log, wanted = self._log, self._wanted
        if wanted.at is not None:
            return min(log.position(wanted.at), max(log.size - 1, 0))
        line = wanted.line or 0
        if line < 0:
            line = max(1, total + 1 + line)
        checkpoint = self._index.before_line(log, line)
        if checkpoint is None or line > total:
            return None
        number = checkpoint.position // BLOCK_BYTES
        while number <= self._rows.last_block:
            for row in self._rows.rows(number):
                if self._number(row) == line:
                    return row.begin
            number += 1
        return None

    def _at(self, place: int) -> tuple[int, list[Row]]:
        """The block of the row at `place`, and its rows."""
        # A row behind a cut may begin before its block.
        number = min(place // BLOCK_BYTES + 1, self._rows.last_block)
        while True:
            rows = self._rows.rows(number)
            if rows and rows[0].begin <= place:
                return number, rows
            number -= 1

    def _before(self, number: int, rows: list[Row], place: int) -> tuple[list[Row], int]:
        """Rows before the one at `place`, and from where on there are no others."""
        found = self._ours([row for row in rows if row.end <= place])
        begin = rows[0].begin
        most, seen = self._wanted.before, 0
        least = place - MAX_TEXT_BYTES // 2
        while number and len(found) < most and seen < _MAX_BLOCKS:
            if self._wanted.stream is None and begin <= least:
                break
            number = self._block_before(number)
            if number < 0:
                return found, 0
            earlier = self._rows.rows(number)
            seen += 1
            found = self._ours(earlier) + found
            begin = earlier[0].begin if earlier else begin
        return found, begin

    def _behind(self, number: int, rows: list[Row], place: int) -> tuple[list[Row], int]:
        """The row at `place`, and those behind it; up to where there are no others."""
        found = self._ours([row for row in rows if row.end > place])
        end = rows[-1].end
        most, seen = self._wanted.behind + 1, 0
        last = self._rows.last_block
        while number < last and len(found) < most and seen < _MAX_BLOCKS:
            if self._wanted.stream is None and end >= place + MAX_TEXT_BYTES // 2:
                break
            number = self._block_behind(number)
            if number > last:
                return found, self._log.size
            later = self._rows.rows(number)
            seen += 1
            found += self._ours(later)
            end = later[-1].end if later else end
        return found, end

    def _block_before(self, number: int) -> int:
        """The last one before it that has bytes of the stream; -1: there is none."""
        stream, log = self._wanted.stream, self._log
        if stream is None:
            return number - 1
        count = self._records.in_stream(log.offset(number * BLOCK_BYTES), stream)
        if not count:
            return -1
        place = log.position(self._records.from_stream(count - 1, stream))
        return min(place // BLOCK_BYTES, number - 1)

    def _block_behind(self, number: int) -> int:
        """The first one behind it that has bytes of the stream; or one that isn't there."""
        stream, log = self._wanted.stream, self._log
        if stream is None:
            return number + 1
        count = self._records.in_stream(log.offset((number + 1) * BLOCK_BYTES), stream)
        if count >= log.state.size(stream):
            return self._rows.last_block + 1
        place = log.position(self._records.from_stream(count, stream))
        return max(place // BLOCK_BYTES, number + 1)

    def _ours(self, rows: list[Row]) -> list[Row]:
        if self._wanted.stream is None or not rows:
            return rows
        return [
            row
            for row, record in zip(rows, self._owners(rows), strict=True)
            if record.stream == self._wanted.stream
        ]

    def _shown(self, rows: list[Row]) -> Iterator[ShownLine]:
        log, data, begin = self._log, b"", 0
        if rows and self._wanted.stream is None:
            begin = rows[0].begin
            data = log.read(begin, rows[-1].end)
        for row, record in zip(rows, self._owners(rows), strict=True):
            end = log.offset(row.end - 1) + 1
            text = data[row.begin - begin : row.end - begin] or log.read(row.begin, row.end)
            yield ShownLine(self._number(row), log.offset(row.begin), end, record, text)

    def _number(self, row: Row) -> int | None:
        found = self._checkpoint(row.block)
        return None if found is None else found.line + row.newlines

    def _style(self, place: int) -> str | None:
        found = self._checkpoint(place // BLOCK_BYTES)
        if found is None:
            return None
        data = self._log.read(found.position - MAX_SEQUENCE_BYTES, place)
        return after(found.style, data).sequence()

    def _checkpoint(self, number: int) -> Checkpoint | None:
        if number not in self._checkpoints:
            self._checkpoints[number] = self._index.checkpoint(self._log, number)
        return self._checkpoints[number]


def _too_many(rows: list[Row]) -> int:
    """For how many of the last rows there is no room."""
    room = MAX_TEXT_BYTES // 2
    for count, row in enumerate(rows):
        room -= row.end - row.begin
        if room < 0:
            return len(rows) - count
    return 0
