"""A format that a reader can ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.output.formats.encoder import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.output.formats.encoder import Encoder

__all__ = ["Format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What output can be asked for as, and what encodes it.

    Attributes:
        name: the word for `format=`.
        media_types: what an `Accept` header is matched with; the first one is the format's own.
        make: makes an encoder.
        marks_gaps: whether dropped bytes are told of when the reader doesn't say.
        charset: of a text format.
        has_timestamps: it can show when each line came.
        has_records: it consists of JSON objects, of lines if that is wanted.
        has_lines: some of the lines alone make sense in it.
        has_event_ids: readers continue by the ID of the last event, and close the connection
            themselves once they have seen the end.
    """

    name: str
    media_types: tuple[str, ...]
    make: Callable[[Options], Encoder]
    marks_gaps: bool
    charset: str = ""
    has_timestamps: bool = False
    has_records: bool = False
    has_lines: bool = True
    has_event_ids: bool = False

    def content_type(self, media_type: str) -> str:
        """The header of a response of one of the media types."""
        return f"{media_type}; charset={self.charset}" if self.charset else media_type

    def encoder(
        self,
        *,
        stream: int | None = None,
        marks_gaps: bool | None = None,
        timestamps: bool = False,
        lines: bool = False,
    ) -> Encoder:
        """A new encoder, for one reader; `marks_gaps` None: that reader doesn't say."""
        marks = self.marks_gaps if marks_gaps is None else marks_gaps
        return self.make(
            Options(stream=stream, marks_gaps=marks, timestamps=timestamps, lines=lines)
        )
