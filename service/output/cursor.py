"""A reader's own place in a log, in the whole of it or in one of its streams.

For the whole, the place is the position in the file. For one stream it counts that stream's
bytes only. The index tells where those are: a search by doubling steps from the last place, then
by halves, finds the run with the wanted byte, in about twenty reads of 32 bytes at the very
most. From there the runs are walked and their bytes joined, neighbours in one read. A stream of
which there is little between much of the other is so found without going through the other.

Memory: one chunk, one read of at most 256 KiB, and at most 4096 runs at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from service.output.errors import CorruptLog
from service.output.files import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.output.index import LogState, Record
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
        self, state: LogState | None = None, limit: int = CHUNK_BYTES, *, wait: bool = True
    ) -> bytes:
        """The next bytes, at most `limit`; b"" when caught up.

        `state` is how far to read, by default to the present end. After an error the cursor is
        where it was.

        Raises:
            BlockingIOError: `wait` is false, and the bytes are not in memory.
            CorruptLog: the files contradict each other.
        """
        if state is None:
            state = self._reader.state()
        if self.stream is None:
            chunk = self._reader.read(self.offset, limit, end=state.end, wait=wait)
        else:
            wanted = min(limit, state.size(self.stream) - self.offset)
            if wanted <= 0:
                return b""
            self._number = self._find(state, self.stream)
            spans = self._spans(state, self.stream, wanted)
            chunk = self._join(spans, state, wait=wait)
            if not chunk:
                msg = f"no record has byte {self.offset} of stream {self.stream}"
                raise CorruptLog(msg)
        self.offset += len(chunk)
        return chunk

    def _find(self, state: LogState, stream: int) -> int:
        # The last record that begins at or before the offset is in the run of the wanted byte:
        # the stream grows in that run, so it can't be the other one's.
        low = self._number
        step = 1
        while self._is_before(low + step, state, stream):
            low += step
            step *= 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_before(middle, state, stream):
                low = middle
            else:
                high = middle
        return low

    def _is_before(self, number: int, state: LogState, stream: int) -> bool:
        record = self._reader.record(number)
        return (
            record is not None
            and record.offset < state.end
            and record.position_in(stream) <= self.offset
        )

    def _spans(self, state: LogState, stream: int, wanted: int) -> list[_Span]:
        spans: list[_Span] = []
        place = self.offset
        for count, (run, run_end) in enumerate(self._runs(state)):
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

    def _runs(self, state: LogState) -> Iterator[tuple[Record, int]]:
        number = self._number
        block = _FIRST_BLOCK
        while True:
            records = self._reader.records(number, block)
            if not records:
                msg = f"{state.end} bytes of output, but no record {number} for them"
                raise CorruptLog(msg)
            for record, following in pairwise(records):
                if following.offset >= state.end:
                    yield record, state.end
                    return
                yield record, following.offset
            if len(records) < block:
                yield records[-1], state.end
                return
            # The last one's end is told by the next block, which begins with it.
            number += len(records) - 1
            block = min(block * 4, _MAX_BLOCK)

    def _join(self, spans: list[_Span], state: LogState, *, wait: bool) -> bytes:
        pieces: list[bytes] = []
        for cluster in _clusters(spans):
            begin, end = cluster[0][0], cluster[-1][1]
            try:
                raw = self._reader.read(begin, end - begin, end=state.end, wait=wait)
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
            span[0] - cluster[-1][1] > _GAP_BYTES or span[1] - cluster[0][0] > CHUNK_BYTES
        ):
            yield cluster
            cluster = []
        cluster.append(span)
    if cluster:
        yield cluster
