"""Where a selection begins and ends in a log, found without reading the log: by halves in its
index, and from its end backwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from service.errors import CorruptLog, OutputDropped
from service.output.cursor import Cursor
from service.output.files import READ_BYTES
from service.output.records import Records
from service.output.sequences import split_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.output.index import LogState
    from service.output.reader import LogReader
    from service.output.records import Side
    from service.output.selection import Selection

__all__ = ["Places", "find_places"]

_TRIES: Final = 100
"""A gap that grows while it is searched beside it has the search repeated."""


class Places(NamedTuple):
    """Offsets as the reader counts them. `end` None: it isn't known yet, or there is none. From
    `elided[0]` to before `elided[1]` nothing is wanted.
    """

    begin: int
    end: int | None = None
    elided: tuple[int, int] | None = None


def find_places(
    reader: LogReader,
    state: LogState,
    wanted: Selection,
    begin: int,
    *,
    skips_gap: bool = False,
    is_last: bool = True,
) -> tuple[LogState, Places]:
    """Where the selection is, in the log as `state` tells of it, or as it is a moment later: it is
    told which. `begin` is what its offset came to. `skips_gap`: the reader can't be told of a gap,
    so what lies before it isn't looked at. `is_last`: nothing comes behind those bytes, so that a
    limit has an end as well.

    Raises:
        CorruptLog: the files contradict each other.
        OSError: the disk fails.
    """
    for _ in range(_TRIES):
        try:
            found = _found(reader, state, wanted, begin, skips_gap=skips_gap, is_last=is_last)
        except (CorruptLog, OSError):
            now = reader.state()
            if now.gap == state.gap:
                raise
        else:
            now = state if not state.limit or state.closed else reader.state()
            if now.gap == state.gap:
                return state, found
        state = now
    msg = "what is kept of the output changes faster than it can be searched"
    raise CorruptLog(msg)


def _found(
    reader: LogReader,
    state: LogState,
    wanted: Selection,
    begin: int,
    *,
    skips_gap: bool,
    is_last: bool,
) -> Places:
    records = Records(reader, state)
    stream = wanted.stream
    if wanted.tail is not None:
        place = _tail(reader, records, wanted, state.end)
        begin = records.in_stream(place, stream)
    if wanted.since_ns is not None:
        begin = max(begin, records.in_stream(records.since(wanted.since_ns), stream))
    if skips_gap and wanted.seeks:
        start, gap_end = state.gap.of(stream)
        if begin <= start < gap_end:
            begin = gap_end
    end = None
    if wanted.until_ns is not None:
        place = records.since(wanted.until_ns)
        end = max(begin, records.in_stream(place, stream)) if place < state.end else None
    last = state.size(stream) if end is None else end
    if wanted.has_ends:
        return _ends(reader, records, wanted, begin, last)
    if wanted.limit is not None and is_last:
        end = _limit(reader, records, wanted, begin, last)
    return Places(begin, end)


def _limit(reader: LogReader, records: Records, wanted: Selection, begin: int, end: int) -> int:
    """Where so many bytes from `begin` on end; never in a sequence, unless that is all there is."""
    stream, limit = wanted.stream, wanted.limit or 0
    first, last = records.from_stream(begin, stream), records.from_stream(end, stream)
    place = _forward(records, first, last, limit, stream, wanted.command)
    if place >= last:
        return end
    found = records.in_stream(place, stream)
    before, behind = _into_sequence(reader, records.state, found, stream)
    return found + behind if before >= limit else found - before


def _tail(reader: LogReader, records: Records, wanted: Selection, end: int) -> int:
    """The place `wanted.tail` lines before the end. A line of which no end has come is one, and so
    is what lies on either side of a gap.
    """
    missing = wanted.tail or 0
    if not missing:
        return end
    first = end
    for side in reversed(records.sides):
        is_last = True
        for data, place in _blocks_back(reader, records, side, wanted):
            if is_last and data.endswith(b"\n"):
                missing += 1  # it ends the last line, and begins none
            is_last = False
            newlines = data.count(b"\n")
            if newlines >= missing:
                return place + _nth_last_newline(data, missing) + 1
            missing -= newlines
            first = place
        if not is_last:
            missing -= 1
        if not missing:
            break
    return first


def _blocks_back(
    reader: LogReader, records: Records, side: Side, wanted: Selection
) -> Iterator[tuple[bytes, int]]:
    for begin, run_end in records.runs_back(side, wanted.stream, wanted.command):
        end = run_end
        while end > begin:
            size = min(READ_BYTES, end - begin)
            end -= size
            yield _read(reader, end, size, side.end), end


def _read(reader: LogReader, place: int, size: int, end: int) -> bytes:
    data = b""
    while len(data) < size:
        data += reader.read(place + len(data), size - len(data), end=end)
    return data


def _nth_last_newline(data: bytes, count: int) -> int:
    place = len(data)
    for _ in range(count):
        place = data.rfind(b"\n", 0, place)
    return place


def _ends(reader: LogReader, records: Records, wanted: Selection, begin: int, end: int) -> Places:
    stream, command = wanted.stream, wanted.command
    first = records.from_stream(begin, stream)
    last = records.from_stream(end, stream)
    head = _forward(records, first, last, wanted.head or 0, stream, command)
    tail = _back(records, first, last, wanted.tail_bytes or 0, stream, command)
    if head >= tail:
        return Places(begin, end)
    head_end = records.in_stream(head, stream) if wanted.head else begin
    tail_begin = records.in_stream(tail, stream) if wanted.tail_bytes else end
    state = records.state
    head_end -= _into_sequence(reader, state, head_end, stream)[0]
    tail_begin += _into_sequence(reader, state, tail_begin, stream)[1]
    return Places(begin, end, (max(begin, head_end), min(end, tail_begin)))


def _forward(
    records: Records, first: int, last: int, count: int, stream: int | None, command: int | None
) -> int:
    """The place that has so many wanted bytes before it, from `first` on; at most `last`."""
    if not count:
        return first
    for side in records.sides:
        if side.end <= first:
            continue
        for begin, end in records.runs(side, first, stream, command):
            if count <= end - begin:
                return min(begin + count, last)
            count -= end - begin
    return last


def _back(
    records: Records, first: int, last: int, count: int, stream: int | None, command: int | None
) -> int:
    """The place that has so many wanted bytes behind it, up to `last`; at least `first`."""
    if not count:
        return last
    for side in reversed(records.sides):
        for begin, run_end in records.runs_back(side, stream, command):
            end = min(run_end, last)
            if begin >= end:
                continue
            if count <= end - begin:
                return max(end - count, first)
            count -= end - begin
            if begin <= first:
                return first
    return first


def _into_sequence(
    reader: LogReader, state: LogState, offset: int, stream: int | None
) -> tuple[int, int]:
    """How far a sequence of UTF-8 lies before and behind `offset`; (0, 0): none goes across it."""
    size = state.size(stream)
    if not 0 < offset < size:
        return 0, 0
    begin = max(0, offset - 3)
    try:
        chunks = Cursor(reader, begin, stream).next_chunks(state, min(6, size - begin))
    except OutputDropped:
        return 0, 0
    around = b"".join(chunk.data for chunk in chunks)
    return split_sequence(around, offset - begin)
