"""The bytes as the commands wrote them. Where some were dropped, text has a line that says so, for
people; what is asked for as bytes is cut there, for programs that count them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from service.output.formats.encoder import Encoder
from service.output.formats.format import Format
from service.output.formats.gap_line import LINES_LEFT_OUT, elision_line, gap_line
from service.output.formats.timestamped_text import TimestampedText

if TYPE_CHECKING:
    from service.output.chunk import Chunk
    from service.output.formats.encoder import Options

__all__ = ["FORMATS", "MarkedPlainText", "PlainText"]


class PlainText(Encoder):
    """The output and nothing else, so a gap can't be told of."""

    __slots__ = ()

    is_verbatim: ClassVar[bool] = True

    def begin_after(self, previous: bytes) -> None:
        """Nothing depends on it."""

    def chunk(self, chunk: Chunk) -> bytes:
        """The bytes themselves, as the object that they came in."""
        return chunk.data

    def between_lines(self) -> bytes:
        """As `grep` has it."""
        return LINES_LEFT_OUT

    def length(self, output_bytes: int) -> int | None:
        """As many bytes as there are of output."""
        return output_bytes


class MarkedPlainText(Encoder):
    """The output, and in the place of what was dropped a line of its own.

    `state`: what was written ends with a line, or nothing was.
    """

    __slots__ = ()

    is_verbatim: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.state: bool = True

    def begin_after(self, previous: bytes) -> None:
        """A line for people begins on a line of its own."""
        self.state = previous == b"\n"

    @property
    def marks_gaps(self) -> bool:
        """It does."""
        return True

    def chunk(self, chunk: Chunk) -> bytes:
        """The bytes themselves, as the object that they came in."""
        self.state = chunk.data.endswith(b"\n")
        return chunk.data

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

    def length(self, output_bytes: int) -> int | None:
        """As many bytes as there are of output."""
        return output_bytes


def _make(options: Options) -> Encoder:
    if options.timestamps:
        return TimestampedText(options)
    # Neither looks at its options: readers of both streams and of one share an encoder.
    return MarkedPlainText() if options.marks_gaps else PlainText()


FORMATS = (
    Format(
        name="text",
        media_types=("text/plain",),
        charset="utf-8",
        make=_make,
        marks_gaps=True,
        has_timestamps=True,
    ),
    Format(
        name="bytes",
        media_types=("application/octet-stream",),
        make=_make,
        marks_gaps=False,
    ),
)
