"""A reader's own place in a log, in the whole of it or in one of its streams.

For the whole, the place is the position in the file. For one stream it counts that stream's
bytes only. The index tells where those are: a search by doubling steps from the last place, then
by halves, finds the run with the wanted byte, in about twenty reads of 32 bytes at the very
most. From there the runs are walked and their bytes read, neighbours in one read. A stream of
which there is little between much of the other is so found without going through the other.

Whose the bytes are is told as well, when that is wanted: a chunk for each run. Otherwise the runs
are joined to one chunk, and of the whole log the index isn't looked at at all.

Of a log that drops bytes, what lies before the gap and what lies behind it are searched and read
each for itself. While the gap may still grow, the header is read again after the bytes: what was
dropped meanwhile may have been read as zeros, and is thrown away.

Memory: what one read brings, at most 128 KiB, that again while it is joined or split, and at most
4096 runs at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from service.errors import CorruptLog, OutputDropped
from service.output.chunk import UNKNOWN, Chunk
from service.output.files import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.output.index import Gap, LogState, Record
    from service.output.reader import LogReader

__all__ = ["Cursor"]

_MAX_RUNS = 4096
"""Runs looked at in one step: bounds its time when streams alternate byte by byte."""

_FIRST_BLOCK = 8
_MAX_BLOCK = 1024
"""Records read at once: few at first, as mostly one long run is enough, then more."""

_GAP_BYTES = 4096
"""Bytes of the other stream that are rather read through than skipped by another read."""


class _Piece(NamedTuple):
    """Bytes from one place in the file to another, of the run that `record` begins, and perhaps of
    the runs behind it.
    """

    begin: int
    end: int
    record: Record


class _Part(NamedTuple):
    """What may be read in one piece: all of a log, or what lies on one side of its gap."""

    first: int  # record
    last: int | None  # record behind the last one; None: there may be more
    end: int  # of the bytes
    size: int  # the same in the offsets of the reader
    is_head: bool


class Cursor:
    """Reads on from `offset`: of one stream, or of both for None. For one task or thread.

    `attributed`: each chunk is of one run, and tells whose it is; otherwise runs are joined.

    Attributes:
        offset: where the next chunk begins.
    """

    __slots__ = ("_attributed", "_number", "_reader", "offset", "stream")

    def __init__(
        self,
        reader: LogReader,
        offset: int = 0,
        stream: int | None = None,
        *,
        attributed: bool = False,
    ) -> None:
        self._reader = reader
        self._attributed = attributed
        self._number = 0
        self.offset = offset
        self.stream = stream

    def next_chunks(
        self, state: LogState | None = None, limit: int = READ_BYTES, *, wait: bool = True
    ) -> Sequence[Chunk]:
        """The next bytes, at most `limit` of them; no chunk when caught up.

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
                chunks = self._read(part, min(limit, part.size - self.offset), wait=wait)
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
            return ()
        for chunk in chunks:
            self.offset += len(chunk.data)
        return chunks

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
            not self._needs_index or self._number >= gap.record_end
        )

    @property
    def _needs_index(self) -> bool:
        return self._attributed or self.stream is not None

    def _read(self, part: _Part, wanted: int, *, wait: bool) -> Sequence[Chunk]:
        if not self._needs_index:
            data = self._reader.read(self.offset, wanted, end=part.end, wait=wait)
            return (Chunk(self.offset, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, data),)
        self._number = self._find(part)
        pieces = self._pieces(part, wanted)
        found = self._bytes_of(pieces, part, wait=wait)
        if not found:
            msg = f"no record has byte {self.offset} of stream {self.stream}"
            raise CorruptLog(msg)
        if self._attributed:
            return [_attributed(piece, data) for piece, data in zip(pieces, found, strict=False)]
        assert self.stream is not None  # noqa: S101 - the index is needed
        data = b"".join(found) if len(found) != 1 else found[0]
        return (Chunk(UNKNOWN, self.offset, self.stream, UNKNOWN, UNKNOWN, data),)

    def _find(self, part: _Part) -> int:
        # The last record that begins at or before the offset is in the run of the wanted byte:
        # the stream grows in that run, so it can't be the other one's.
        low = max(self._number, part.first)
        step = 1
        while self._is_before(low + step, part):
            low += step
            step *= 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_before(middle, part):
                low = middle
            else:
                high = middle
        return low

    def _is_before(self, number: int, part: _Part) -> bool:
        if part.last is not None and number >= part.last:
            return False
        record = self._reader.record(number)
        return (
            record is not None
            and record.offset < part.end
            and record.position_in(self.stream) <= self.offset
        )

    def _pieces(self, part: _Part, wanted: int) -> list[_Piece]:
        pieces: list[_Piece] = []
        place = self.offset
        for count, (run, run_end) in enumerate(self._runs(part)):
            if self.stream in (None, run.stream):
                begin = run.offset + place - run.position_in(self.stream)
                length = min(run_end - begin, wanted)
                if pieces and pieces[-1].end == begin and not self._attributed:
                    pieces[-1] = pieces[-1]._replace(end=begin + length)
                elif length:
                    pieces.append(_Piece(begin, begin + length, run))
                place += length
                wanted -= length
            if not wanted or count >= _MAX_RUNS:
                break
        return pieces

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

    def _bytes_of(self, pieces: list[_Piece], part: _Part, *, wait: bool) -> list[bytes]:
        # Of the first pieces, and of the last one of them perhaps only the beginning.
        found: list[bytes] = []
        for cluster in _clusters(pieces):
            begin, end = cluster[0].begin, cluster[-1].end
            try:
                raw = self._reader.read(begin, end - begin, end=part.end, wait=wait)
            except BlockingIOError:
                if found:
                    break
                raise
            if len(cluster) == 1:
                found.append(raw)
            else:
                read_end = begin + len(raw)
                found += [
                    raw[p.begin - begin : p.end - begin] for p in cluster if p.begin < read_end
                ]
            if len(raw) < end - begin:
                break
        return found


def _attributed(piece: _Piece, data: bytes) -> Chunk:
    run = piece.record
    into_run = piece.begin - run.offset
    return Chunk(
        piece.begin, run.stream_offset + into_run, run.stream, run.command, run.time_ns, data
    )


def _clusters(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    cluster: list[_Piece] = []
    for piece in pieces:
        if cluster and (
            piece.begin - cluster[-1].end > _GAP_BYTES or piece.end - cluster[0].begin > READ_BYTES
        ):
            yield cluster
            cluster = []
        cluster.append(piece)
    if cluster:
        yield cluster
