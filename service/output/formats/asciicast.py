"""asciicast v2: the output as a recording of a terminal, to be played at its own pace.

The size is the one with which the job's terminal began. Where a job has none, a newline becomes
what a terminal's driver makes of it: a carriage return and a newline (ONLCR). What isn't UTF-8 is
shown as replacement characters.

Source: asciicast file format, version 2.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import TYPE_CHECKING, ClassVar

import msgspec

from service.output.formats.encoder import DEFAULT, Encoder, Options
from service.output.formats.format import Format
from service.output.formats.gap_line import elision_line, gap_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.output.chunk import Chunk

__all__ = ["FORMATS", "Asciicast"]

_NS = 1_000_000_000
_COLUMNS, _ROWS = 80, 24
"""Of a terminal, when nothing says otherwise."""

_encode = msgspec.json.Encoder().encode


class Asciicast(Encoder):
    """An event for each chunk; times count from the start of the job.

    `state`: the bytes of a sequence of UTF-8 that isn't complete, and the time of the last event.
    """

    __slots__ = ()

    needs_attribution: ClassVar[bool] = True
    needs_origin: ClassVar[bool] = True

    state: tuple[bytes, int]

    def __init__(self, options: Options = DEFAULT) -> None:
        super().__init__(options)
        self.state = b"", options.origin_ns

    @property
    def marks_gaps(self) -> bool:
        """As the reader wants it."""
        return self.options.marks_gaps

    def head(self) -> bytes:
        """What the terminal is like, and when it was."""
        rows, columns = self.options.size or (_ROWS, _COLUMNS)
        header = {"version": 2, "width": columns, "height": rows}
        if self.options.origin_ns:
            header["timestamp"] = self.options.origin_ns // _NS
        return _encode(header) + b"\n"

    def chunk(self, chunk: Chunk) -> bytes:
        """What of it makes whole characters."""
        data = self.state[0] + chunk.data
        text, used = utf_8_decode(data, "replace", False)  # noqa: FBT003 - not the last bytes
        self.state = data[used:], chunk.time_ns
        return self._event(text)

    def gap(self, start: int, end: int) -> bytes:
        """The line that text has there."""
        return self._flush() + self._event(gap_line(start, end).decode())

    def elided(self, start: int, end: int) -> bytes:
        """The same."""
        return self._flush() + self._event(elision_line(start, end).decode())

    def end(self, record: Mapping[str, object], offset: int) -> bytes:
        """What is left of a character that was not completed."""
        del record, offset
        return self._flush()

    def _flush(self) -> bytes:
        held, time_ns = self.state
        self.state = b"", time_ns
        return self._event(held.decode(errors="replace"))

    def _event(self, text: str) -> bytes:
        if not text:
            return b""
        # The clock may have been set back since.
        after_ns = max(0, self.state[1] - self.options.origin_ns)
        if self.options.size is None:
            text = text.replace("\n", "\r\n")
        return _encode((round(after_ns / _NS, 6), "o", text)) + b"\n"


FORMATS = (
    Format(
        name="asciicast",
        media_types=("application/x-asciicast",),
        make=Asciicast,
        marks_gaps=True,
        has_lines=False,
    ),
)
