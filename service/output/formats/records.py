"""Output as JSON objects that say whose it is: what SSE and NDJSON have in common.

1. A record has the bytes from `Offset` to before `End`. Records follow each other without a hole,
   so whoever has all records up to an `End` continues there.
2. A record has bytes of one stream and one command: as `Text`, or as `Data` (base64) where they
   aren't UTF-8.
3. What can't be told yet is held back, and is part of the state: the beginning of a sequence of
   UTF-8, or with `lines` that of a line. It is told as it is when what follows isn't its own
   stream's or its own command's, at a gap, and at the end. A reader that continues at the last
   `End` is given it again.
4. With `stream` all places are those of that stream.
"""

from __future__ import annotations

from abc import abstractmethod
from codecs import utf_8_decode
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import msgspec

from service.output.formats.encoder import Encoder
from service.output.formats.times import rfc3339_ns
from service.output.formats.utf8 import incomplete_tail
from service.output.index import STDOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from service.output.chunk import Chunk
    from service.output.found_line import FoundLine

__all__ = [
    "MAX_LINE_BYTES",
    "GapRecord",
    "LineRecord",
    "MatchesRecord",
    "OutputRecord",
    "RecordEncoder",
    "encode_json",
]

MAX_LINE_BYTES = 64 * 1024
"""A longer line is told in pieces: bounds what is held back for one that doesn't end."""

encode_json = msgspec.json.Encoder().encode


class OutputRecord(msgspec.Struct, rename="pascal", gc=False):
    """A piece of output. One of `text` and `data` is there; `partial`, with `lines`, where the line
    has no end.
    """

    offset: int
    end: int
    stream: str
    command: int
    time: str
    text: str | msgspec.UnsetType = msgspec.UNSET
    data: bytes | msgspec.UnsetType = msgspec.UNSET
    partial: bool | msgspec.UnsetType = msgspec.UNSET


class GapRecord(msgspec.Struct, rename={"start": "From", "end": "To"}, gc=False):
    """What was dropped."""

    start: int
    end: int


class LineRecord(msgspec.Struct, rename="pascal", gc=False):
    """A line that was searched for. One of `text` and `data` is there; `partial` where the line has
    no end, `context` where it stands around one that matches.
    """

    line: int
    offset: int
    stream: str
    command: int
    time: str
    text: str | msgspec.UnsetType = msgspec.UNSET
    data: bytes | msgspec.UnsetType = msgspec.UNSET
    partial: bool | msgspec.UnsetType = msgspec.UNSET
    context: bool | msgspec.UnsetType = msgspec.UNSET


class MatchesRecord(msgspec.Struct, rename="pascal", gc=False):
    """How many lines match."""

    count: int


class _Held(NamedTuple):
    """Bytes that are told with what follows them."""

    start: int
    stream: int
    command: int
    time_ns: int
    data: bytes

    def goes_on(self, chunk: Chunk, place: int) -> bool:
        return (
            place == self.start + len(self.data)
            and chunk.stream == self.stream
            and chunk.command == self.command
        )


class RecordEncoder(Encoder):
    """Makes the records; a subclass frames them.

    `state`: what is held back.
    """

    __slots__ = ()

    needs_attribution: ClassVar[bool] = True
    tells_end: ClassVar[bool] = True
    tells_matches: ClassVar[bool] = True
    beats: ClassVar[bool] = True
    state: _Held | None

    @property
    def marks_gaps(self) -> bool:
        """As the reader wants it."""
        return self.options.marks_gaps

    @abstractmethod
    def frame(self, kind: str, body: bytes, place: str) -> bytes:
        """A record on the wire. `body` is its JSON object, not an empty one; `place` is where the
        reader is after it.
        """

    def members(self, place: int) -> Mapping[str, object]:
        """What every record before `place` has first, beside its own members."""
        del place
        return {}

    def record(self, kind: str, body: object, place: int, *, suffix: str = "") -> bytes:
        """Any record: `body` becomes its JSON object; after it the reader is at `place`."""
        raw = encode_json(body)
        if members := self.members(place):
            raw = encode_json(members)[:-1] + b"," + raw[1:]
        return self.frame(kind, raw, f"{place}{suffix}")

    def chunk(self, chunk: Chunk) -> bytes:
        """What of it, and of what was held back, can be told."""
        options = self.options
        place = chunk.offset if options.stream is None else chunk.stream_offset
        start, data, held = place, chunk.data, self.state
        wire = []
        if held is not None:
            if held.goes_on(chunk, place):
                start, data = held.start, held.data + data
            else:
                wire.append(self._flush())
                held = None
        if options.lines:
            # A line's time is that of its first byte.
            first_ns = chunk.time_ns if held is None else held.time_ns
            wire += self._lines(start, data, chunk, first_ns)
        else:
            wire.append(self._piece(start, data, chunk))
        return b"".join(wire) if len(wire) != 1 else wire[0]

    def gap(self, start: int, end: int) -> bytes:
        """A record, behind what was held back."""
        return self._flush() + self.record("gap", GapRecord(start, end), end)

    def elided(self, start: int, end: int) -> bytes:
        """The same for what isn't wanted."""
        return self._flush() + self.record("elided", GapRecord(start, end), end)

    def rewritten(self, chunk: Chunk, end: int) -> bytes:
        """One record, whatever became of its bytes."""
        start = chunk.offset if self.options.stream is None else chunk.stream_offset
        is_partial = self.options.lines and not chunk.data.endswith(b"\n")
        data = chunk.data.removesuffix(b"\n") if self.options.lines else chunk.data
        return self._output(start, data, chunk, chunk.time_ns, end - start, partial=is_partial)

    def line(self, line: FoundLine) -> bytes:
        """A record, which says so if it only stands around one that matches."""
        chunk = line.chunk
        start = chunk.offset if self.options.stream is None else chunk.stream_offset
        record = LineRecord(
            line.number, start, _name(chunk.stream), chunk.command, rfc3339_ns(chunk.time_ns)
        )
        data = chunk.data.removesuffix(b"\n")
        try:
            record.text = data.decode()
        except UnicodeDecodeError:
            record.data = data
        if len(data) == len(chunk.data):
            record.partial = True
        if not line.matches:
            record.context = True
        return self.record("line", record, start + len(chunk.data))

    def matches(self, count: int, offset: int) -> bytes:
        """How many lines."""
        return self.record("matches", MatchesRecord(count), offset, suffix=".end")

    def end(self, record: Mapping[str, object], offset: int) -> bytes:
        """The end record, behind what was held back."""
        return self._flush() + self.record("end", record, offset, suffix=".end")

    def told_up_to(self, offset: int) -> int:
        """Where a reader continues who was told all up to `offset` but for what is held back."""
        return offset - (0 if self.state is None else len(self.state.data))

    def _piece(self, start: int, data: bytes, chunk: Chunk) -> bytes:
        try:
            text, used = utf_8_decode(data, "strict", False)  # noqa: FBT003 - not the last bytes
        except UnicodeDecodeError:
            used = len(data) - incomplete_tail(data)
            wire = self._output(start, data[:used], chunk, chunk.time_ns, used) if used else b""
        else:
            wire = (
                b""
                if not used
                else self._record_of(
                    OutputRecord(
                        start,
                        start + used,
                        _name(chunk.stream),
                        chunk.command,
                        rfc3339_ns(chunk.time_ns),
                        text,
                    )
                )
            )
        self._hold(start + used, data[used:], chunk, chunk.time_ns)
        return wire

    def _lines(self, start: int, data: bytes, chunk: Chunk, time_ns: int) -> Iterator[bytes]:
        *whole, rest = data.split(b"\n")
        for line in whole:
            *cut, last = _cut(line)
            for piece in cut:
                yield self._output(start, piece, chunk, time_ns, len(piece), partial=True)
                start += len(piece)
            yield self._output(start, last, chunk, time_ns, len(last) + 1)
            start += len(last) + 1
            time_ns = chunk.time_ns
        *cut, last = _cut(rest)
        for piece in cut:
            yield self._output(start, piece, chunk, time_ns, len(piece), partial=True)
            start += len(piece)
        self._hold(start, last, chunk, time_ns)

    def _hold(self, start: int, data: bytes, chunk: Chunk, time_ns: int) -> None:
        self.state = _Held(start, chunk.stream, chunk.command, time_ns, data) if data else None

    def _flush(self) -> bytes:
        held = self.state
        if held is None:
            return b""
        self.state = None
        count = len(held.data)
        return self._output(
            held.start, held.data, held, held.time_ns, count, partial=self.options.lines
        )

    def _output(
        self,
        start: int,
        data: bytes,
        owner: Chunk | _Held,
        time_ns: int,
        count: int,
        *,
        partial: bool = False,
    ) -> bytes:
        """The record of `data`, which stands for `count` bytes."""
        record = OutputRecord(
            start, start + count, _name(owner.stream), owner.command, rfc3339_ns(time_ns)
        )
        try:
            record.text = data.decode()
        except UnicodeDecodeError:
            record.data = data
        if partial:
            record.partial = True
        return self._record_of(record)

    def _record_of(self, record: OutputRecord) -> bytes:
        return self.record("output", record, record.end)


def _name(stream: int) -> str:
    return "stdout" if stream == STDOUT else "stderr"


def _cut(line: bytes) -> Iterator[bytes]:
    """The line in pieces that are short enough; one at least."""
    while len(line) > MAX_LINE_BYTES:
        length = MAX_LINE_BYTES - incomplete_tail(line[:MAX_LINE_BYTES])
        yield line[:length]
        line = line[length:]
    yield line
