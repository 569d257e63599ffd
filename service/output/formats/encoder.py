"""What turns one reader's chunks into bytes on the wire, without I/O.

1. The calls come in this order: `head`, then any number of `chunk`, `gap` and `heartbeat`, then
   `end`. A stream that is cut has no `end`. What is searched has `line` and `gap`, then `matches`.
2. What the next call returns depends on its arguments, on `options`, on `state` and on the class,
   and on nothing else. Encoders of one class with the same options in one state are alike: readers
   of which that is true share one, and are given the same bytes object.
3. `state` is an immutable value. Setting it makes the encoder go on where another one was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from typing import Self

    from service.output.chunk import Chunk
    from service.output.found_line import FoundLine

__all__ = ["DEFAULT", "Encoder", "Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one reader wants of its format.

    Attributes:
        stream: the one that is read; None: both. Offsets are in its bytes.
        marks_gaps: what was dropped is told of. Without it the stream is cut there.
        timestamps: each line begins with the time at which it came.
        lines: a record for each line.
        origin_ns: when the job started, for formats that count from there; 0: it didn't.
        size: rows and columns of the job's terminal; None: it has none.
    """

    stream: int | None = None
    marks_gaps: bool = False
    timestamps: bool = False
    lines: bool = False
    origin_ns: int = 0
    size: tuple[int, int] | None = None


DEFAULT = Options()


class Encoder(ABC):
    """The encoder of one reader, or of several that are alike.

    Attributes:
        needs_attribution: chunks are to be of one run each, every field known. Without it they
            are coalesced, which is quicker: the index isn't read.
        tells_end: `end` shows what it is given.
        tells_matches: `matches` does.
        beats: `heartbeat` returns something.
        needs_previous: `begin_after` is to be called when it doesn't begin at the start.
        needs_origin: it tells at its head when the job started, and of its terminal.
        is_verbatim: `chunk` returns the bytes that it is given. They may be sent by other means,
            and `begin_after` called with the last one.
        options: what the reader wants.
        state: all that the next bytes depend on, beside the chunk and the options.
    """

    __slots__ = ("options", "state")

    needs_attribution: ClassVar[bool] = False
    tells_end: ClassVar[bool] = False
    tells_matches: ClassVar[bool] = False
    beats: ClassVar[bool] = False
    needs_previous: ClassVar[bool] = False
    needs_origin: ClassVar[bool] = False
    is_verbatim: ClassVar[bool] = False

    def __init__(self, options: Options = DEFAULT) -> None:
        self.options = options
        self.state: Hashable = None

    @property
    def marks_gaps(self) -> bool:
        """It can tell a reader what was dropped. Without it the stream is cut there."""
        return False

    def head(self) -> bytes:
        """What comes before the first chunk."""
        return b""

    def begin_after(self, previous: bytes) -> None:
        """`previous` is the byte before the first one; an empty one was dropped."""
        raise NotImplementedError

    @abstractmethod
    def chunk(self, chunk: Chunk) -> bytes:
        """The chunk; b"" when it only changes the state."""

    def gap(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end` were dropped, in the offsets of the reader."""
        raise NotImplementedError

    def elided(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end` aren't wanted, in the offsets of the reader."""
        del start, end
        return b""

    def rewritten(self, chunk: Chunk, end: int) -> bytes:
        """A chunk that says something else than the log, which has the bytes up to `end` there."""
        del end
        return self.chunk(chunk)

    def line(self, line: FoundLine) -> bytes:
        """A line of an answer that has some of the lines only."""
        data = line.chunk.data
        chunk = line.chunk if data.endswith(b"\n") else line.chunk._replace(data=data + b"\n")
        return (b"" if line.follows else self.between_lines()) + self.chunk(chunk)

    def between_lines(self) -> bytes:
        """What stands where lines were left out, between others that belong together."""
        return b""

    def matches(self, count: int, offset: int) -> bytes:
        """What comes behind the last line: so many matched, up to `offset`."""
        del count, offset
        return b""

    def heartbeat(self, offset: int, time_ns: int) -> bytes:
        """What tells a reader who has all output up to `offset` that the stream is alive."""
        raise NotImplementedError

    def end(self, record: Mapping[str, object], offset: int) -> bytes:
        """What comes behind the last chunk of output that is complete, and ends at `offset`.
        `record` is the end record; an empty one unless `tells_end`.
        """
        del record, offset
        return b""

    def length(self, output_bytes: int) -> int | None:
        """Bytes on the wire of so many bytes of output, none of them dropped, when that is known
        beforehand.
        """
        del output_bytes
        return None

    def encode(self, chunks: Sequence[Chunk]) -> bytes:
        """The chunks, one after the other."""
        if len(chunks) == 1:  # by far the most, and their bytes aren't copied
            return self.chunk(chunks[0])
        return b"".join(map(self.chunk, chunks))

    def is_like(self, other: Encoder) -> bool:
        """Whether both return the same from now on."""
        return (
            type(self) is type(other)
            and self.options == other.options
            and self.state == other.state
        )

    def copy(self) -> Self:
        """Another one that is like this one, and goes on by itself."""
        return copy(self)
