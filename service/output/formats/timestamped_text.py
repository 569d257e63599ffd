"""The output as text, with the time at which it came before each line."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from service.output.formats.encoder import DEFAULT, Encoder
from service.output.formats.gap_line import LINES_LEFT_OUT, elision_line, gap_line
from service.output.formats.times import rfc3339_ns

if TYPE_CHECKING:
    from service.output.chunk import Chunk
    from service.output.formats.encoder import Options

__all__ = ["TimestampedText"]


class TimestampedText(Encoder):
    """A line has the time of its first byte.

    `state`: the next byte begins a line.
    """

    __slots__ = ()

    needs_attribution: ClassVar[bool] = True
    needs_previous: ClassVar[bool] = True

    def __init__(self, options: Options = DEFAULT) -> None:
        super().__init__(options)
        self.state: bool = True

    @property
    def marks_gaps(self) -> bool:
        """As the reader wants it."""
        return self.options.marks_gaps

    def begin_after(self, previous: bytes) -> None:
        """A line begins behind another one."""
        self.state = previous in (b"", b"\n")  # behind a gap too

    def chunk(self, chunk: Chunk) -> bytes:
        """The bytes, and times before those that begin a line."""
        stamp = rfc3339_ns(chunk.time_ns).encode() + b" "
        data = chunk.data
        begins, self.state = self.state, data.endswith(b"\n")
        inner, end = (data[:-1], b"\n") if self.state else (data, b"")
        return (stamp if begins else b"") + inner.replace(b"\n", b"\n" + stamp) + end

    def gap(self, start: int, end: int) -> bytes:
        """A line that says how many bytes are missing."""
        return self._line(gap_line(start, end))

    def elided(self, start: int, end: int) -> bytes:
        """A line that says which."""
        return self._line(elision_line(start, end))

    def between_lines(self) -> bytes:
        """As `grep` has it."""
        return LINES_LEFT_OUT

    def _line(self, line: bytes) -> bytes:
        begun, self.state = not self.state, True
        return b"\n" + line if begun else line
