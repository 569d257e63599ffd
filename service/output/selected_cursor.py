"""A reader's place in what it selected of a log: of one command, up to a place, or so many bytes.

Bytes of other commands are skipped in the index, not read. The last bytes before a limit are never
the first ones of a sequence of UTF-8; a sequence that is longer than the limit is read in whole, so
that whoever reads on from the end of each part gets on.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from service.errors import OutputDropped
from service.output.cursor import Cursor
from service.output.files import READ_BYTES
from service.output.records import Records
from service.output.sequences import split_sequence, unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from service.output.chunk import Chunk
    from service.output.index import LogState
    from service.output.places import Places
    from service.output.reader import LogReader
    from service.output.selection import Selection

__all__ = ["SelectedCursor"]


class SelectedCursor:
    """Reads on from `offset`, as a `Cursor` does.

    Attributes:
        end: where it ends; None: nowhere yet. May be set while there is more.
        is_over: nothing will be read any more.
    """

    __slots__ = (
        "_command",
        "_elided",
        "_has_read",
        "_inner",
        "_left",
        "_reader",
        "_run_end",
        "end",
        "is_over",
    )

    def __init__(
        self, reader: LogReader, wanted: Selection, places: Places, *, attributed: bool
    ) -> None:
        self._reader = reader
        self._inner = Cursor(reader, places.begin, wanted.stream, attributed=attributed)
        self._command = wanted.command
        self._run_end = 0  # of the command's
        self._left = wanted.limit
        self._elided = places.elided
        self._has_read = False
        self.end = places.end
        self.is_over = False

    @property
    def offset(self) -> int:
        """Where the next chunk begins, or nothing comes any more."""
        return self._inner.offset

    @property
    def stream(self) -> int | None:
        """The one that is read; None: both."""
        return self._inner.stream

    def copy(self) -> Self:
        """Another one, which goes on from here."""
        found = copy.copy(self)
        found._inner = copy.copy(self._inner)  # noqa: SLF001 - its own
        return found

    @property
    def is_at_elision(self) -> bool:
        """What comes next is left out."""
        return self._elided is not None and self.offset >= self._elided[0]

    def take_elision(self) -> tuple[int, int] | None:
        """What is left out here, once; None when nothing is."""
        if self._elided is None or not self.is_at_elision:
            return None
        found, self._elided = self._elided, None
        self._inner.offset = found[1]
        return found

    def skip_to(self, offset: int) -> None:
        """Goes on behind what was dropped."""
        self._inner.offset = offset if self.end is None else min(offset, self.end)

    def next_chunks(
        self, state: LogState, *, is_last: bool = True, wait: bool = True
    ) -> Sequence[Chunk]:
        """The next bytes; none when caught up, at the end, or where something is left out.
        `is_last`: nothing comes behind those of `state`.

        Raises:
            OutputDropped: the next byte is in the gap.
            BlockingIOError: `wait` is false, and the bytes are not in memory.
            CorruptLog: the files contradict each other.
        """
        stop = self._stop(state)
        if self._command is not None and self.offset < stop:
            self._find_run(state, stop)
            stop = min(stop, self._run_end)
        wanted = min(READ_BYTES, stop - self.offset)
        if self.is_over or wanted <= 0:
            is_at_end = self.end is not None and self.offset >= self.end
            self.is_over = self.is_over or (is_at_end and not self.is_at_elision)
            return ()
        if self._left is None:
            return self._inner.next_chunks(state, wanted, wait=wait)
        return self._limited(state, wanted, is_last=is_last, wait=wait)

    def _stop(self, state: LogState) -> int:
        stop = state.size(self.stream)
        if self.end is not None:
            stop = min(stop, self.end)
        if self._elided is not None:
            stop = min(stop, self._elided[0])
        return stop

    def _find_run(self, state: LogState, stop: int) -> None:
        """Goes to the next byte of the command, or to `stop`."""
        records = Records(self._reader, state)
        start, gap_end = state.gap.of(self.stream)
        while self._run_end <= self.offset < stop:
            if start <= self.offset < gap_end:
                if self._may_be_dropped(records):
                    raise OutputDropped(self.offset, gap_end)
                self._inner.offset = min(gap_end, stop)
                continue
            # Each side is searched by itself, as the gap between them may have to be told of.
            number = 1 if state.gap.end and self.offset >= gap_end else 0
            side = records.sides[number]
            place = records.from_stream(self.offset, self.stream)
            run = next(records.runs(side, place, self.stream, self._command), None)
            if run is not None:
                self._inner.offset = min(records.in_stream(run[0], self.stream), stop)
                self._run_end = self.offset + run[1] - run[0]
            elif number == 0 and state.gap.end:
                self._inner.offset = min(start, stop)
            else:
                self._inner.offset = stop

    def _may_be_dropped(self, records: Records) -> bool:
        """Whether the command can have written what was dropped; commands follow each other."""
        assert self._command is not None  # noqa: S101 - only then it is asked
        gap = records.state.gap
        before, behind = gap.record_start - 1, gap.record_end
        if before >= 0 and records.record(before).command > self._command:
            return False
        return records.record(behind).command >= self._command

    def _limited(
        self, state: LogState, wanted: int, *, is_last: bool, wait: bool
    ) -> Sequence[Chunk]:
        assert self._left is not None  # noqa: S101 - it is limited
        begin, left = self.offset, self._left
        # Three bytes more tell whether a sequence lies across the limit.
        chunks = self._inner.next_chunks(state, min(wanted, left + 3), wait=wait)
        data = b"".join(chunk.data for chunk in chunks)
        count = min(len(data), left)
        before, behind = split_sequence(data, left)
        if before:
            # It is left to the next part, unless it is all that there is of this one.
            count += behind if count == before and not self._has_read else -before
        elif not is_last and len(data) <= left:
            begun, missing = unfinished(data)
            if missing > left - count:
                count -= begun  # held back until it is known what it is
        self.is_over = count > 0 and len(data) >= left
        self._has_read = self._has_read or count > 0
        self._left = max(0, left - count)
        self._inner.offset = begin + count
        return _first(chunks, count)


def _first(chunks: Sequence[Chunk], count: int) -> list[Chunk]:
    """The chunks up to so many bytes."""
    found: list[Chunk] = []
    for chunk in chunks:
        if count <= 0:
            break
        found.append(chunk._replace(data=chunk.data[:count]))
        count -= len(chunk.data)
    return found
