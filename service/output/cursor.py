"""A reader's own place in a log, in the whole of it or in one of its streams.

For the whole, the place is the position in the file. For one stream it counts that stream's
bytes only. The index tells where those are: a search by doubling steps from the last place, then
by halves, finds the run with the wanted byte, in about twenty reads of 32 bytes at the very
most. From there the runs are walked and their bytes joined, neighbours in one read. A stream of
which there is little between much of the other is so found without going through the other.

Of a log that drops bytes, what lies before the gap and what lies behind it are searched and read
each for itself. While the gap may still grow, the header is read again after the bytes: what was
dropped meanwhile may have been read as zeros, and is thrown away.

Memory: one chunk, one read of at most 128 KiB, and at most 4096 runs at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from service.errors import CorruptLog, OutputDropped
from service.output.files import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.output.index import Gap, LogState, Record
    from service.output.reader import LogReader

__all__ = ["Cursor"]

_MAX_RUNS = 4096
"""Runs looked at for one chunk: bounds the time of a step when streams alternate byte by byte."""

_FIRST_BLOCK = 8
_MAX_BLOCK = 1024
"""Records read at once: few at first, as mostly one long run is enough, then more."""

_GAP_BYTES = 4096
"""Bytes of the other stream that are rather read through than skipped by another read."""

_Span = tuple[int, int]


class _Part(NamedTuple):
    """What may be read in one piece: all of a log, or what lies on one side of its gap."""

    first: int  # record
    last: int | None  # record behind the last one; None: there may be more
    end: int  # of the bytes
    size: int  # the same in the offsets of the reader
    is_head: bool


class Cursor:
    """Reads on from `offset`: of one stream, or of both for None. For one task or thread.

    Attributes:
        offset: where the next chunk begins.
    """

    __slots__ = ("_number", "_reader", "offset", "stream")

    def __init__(self, reader: LogReader, offset: int = 0, stream: int | None = None) -> None:
        self._reader = reader
        self._number = 0
        self.offset = offset
        self.stream = stream

    def next_chunk(
        self, state: LogState | None = None, limit: int = READ_BYTES, *, wait: bool = True
    ) -> bytes:
        """The next bytes, at most `limit`; b"" when caught up.

        `state` is how far to read, by default to the present end. After an error the cursor is
        where it was.

        Raises:
            OutputDropped: the next byte is in the gap.
            BlockingIOError: `wait` is false, and the bytes are not in memory.
            CorruptLog: the files contradict each other.
        """
        if state is None:
            state = self._reader.state()
        while self.offset < state.size(self.stream):
            part = self._part(state)
            try:
                chunk = self._read(part, min(limit, part.size - self.offset), wait=wait)
            except BlockingIOError:
                raise
            except (CorruptLog, OSError):
                # Perhaps only since records were dropped while they were read.
                now = self._reader.state().gap
                if now == state.gap:
                    raise
            else:
                if not state.limit or state.closed or part.is_head:
                    break
                now = self._reader.state().gap
                if self._is_behind(now):
                    break
            # At most as often as the gap grows before it has reached this place.
            state = state._replace(gap=now)
        else:
            return b""
        self.offset += len(chunk)
        return chunk

    def _part(self, state: LogState) -> _Part:
        gap, size = state.gap, state.size(self.stream)
        if not gap.end:
            return _Part(0, None, state.end, size, is_head=False)
        start, end = gap.of(self.stream)
        if self.offset < start:
            # The state may be older than the gap, and end before it.
            before, size = min(gap.start, state.end), min(start, size)
            return _Part(0, gap.record_start, before, size, is_head=True)
        if self.offset < end:
            raise OutputDropped(self.offset, end)
        return _Part(gap.record_end, None, state.end, size, is_head=False)

    def _is_behind(self, gap: Gap) -> bool:
        # A search that ended at a record behind the gap was misled by none that was dropped: those
        # could only have held it back.
        return self.offset >= gap.of(self.stream)[1] and (
            self.stream is None or self._number >= gap.record_end
        )

    def _read(self, part: _Part, wanted: int, *, wait: bool) -> bytes:
        if self.stream is None:
            return self._reader.read(self.offset, wanted, end=part.end, wait=wait)
        self._number = self._find(part, self.stream)
        spans = self._spans(part, self.stream, wanted)
        chunk = self._join(spans, part, wait=wait)
        if not chunk:
            msg = f"no record has byte {self.offset} of stream {self.stream}"
            raise CorruptLog(msg)
        return chunk

    def _find(self, part: _Part, stream: int) -> int:
        # The last record that begins at or before the offset is in the run of the wanted byte:
        # the stream grows in that run, so it can't be the other one's.
        low = max(self._number, part.first)
        step = 1
        while self._is_before(low + step, part, stream):
            low += step
            step *= 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_before(middle, part, stream):
                low = middle
            else:
                high = middle
        return low

    def _is_before(self, number: int, part: _Part, stream: int) -> bool:
        if part.last is not None and number >= part.last:
            return False
        record = self._reader.record(number)
        return (
            record is not None
            and record.offset < part.end
            and record.position_in(stream) <= self.offset
        )

    def _spans(self, part: _Part, stream: int, wanted: int) -> list[_Span]:
        spans: list[_Span] = []
        place = self.offset
        for count, (run, run_end) in enumerate(self._runs(part)):
            if run.stream == stream:
                begin = run.offset + place - run.stream_offset
                length = min(run_end - begin, wanted)
                if spans and spans[-1][1] == begin:
                    spans[-1] = (spans[-1][0], begin + length)
                elif length:
                    spans.append((begin, begin + length))
                place += length
                wanted -= length
            if not wanted or count >= _MAX_RUNS:
                break
        return spans

    def _runs(self, part: _Part) -> Iterator[tuple[Record, int]]:
        number = self._number
        block = _FIRST_BLOCK
        while True:
            if part.last is not None:
                block = min(block, part.last - number)
            records = self._reader.records(number, block)
            if not records:
                msg = f"{part.end} bytes of output, but no record {number} for them"
                raise CorruptLog(msg)
            for record, following in pairwise(records):
                if following.offset >= part.end:
                    yield record, part.end
                    return
                yield record, following.offset
            if len(records) < block or number + block == part.last:
                yield records[-1], part.end
                return
            # The last one's end is told by the next block, which begins with it.
            number += len(records) - 1
            block = min(block * 4, _MAX_BLOCK)

    def _join(self, spans: list[_Span], part: _Part, *, wait: bool) -> bytes:
        pieces: list[bytes] = []
        for cluster in _clusters(spans):
            begin, end = cluster[0][0], cluster[-1][1]
            try:
                raw = self._reader.read(begin, end - begin, end=part.end, wait=wait)
            except BlockingIOError:
                if pieces:
                    break
                raise
            if len(cluster) == 1:
                pieces.append(raw)
            else:
                pieces.extend(raw[first - begin : last - begin] for first, last in cluster)
            if len(raw) < end - begin:
                break
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]


def _clusters(spans: list[_Span]) -> Iterator[list[_Span]]:
    cluster: list[_Span] = []
    for span in spans:
        if cluster and (
            span[0] - cluster[-1][1] > _GAP_BYTES or span[1] - cluster[0][0] > READ_BYTES
        ):
            yield cluster
            cluster = []
        cluster.append(span)
    if cluster:
        yield cluster
