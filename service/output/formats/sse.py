"""Server-sent events: what an `EventSource` reads. The ID of an event is the place behind it, where
a reader continues; that of the last one can't be continued at, so that the reader stops.

Source: the HTML standard, section "Server-sent events".
"""

from __future__ import annotations

from service.output.formats.format import Format
from service.output.formats.records import RecordEncoder

__all__ = ["FORMATS", "Sse"]

_HEAD = b"retry: 1000\n"
"""Milliseconds after which a reader connects again. No blank line follows, nor behind a comment:
some readers make an event without data of it.
"""

_COMMENT = b":\n"


class Sse(RecordEncoder):
    """An event for each record."""

    __slots__ = ()

    def head(self) -> bytes:
        """How soon to connect again."""
        return _HEAD

    def frame(self, kind: str, body: bytes, place: str) -> bytes:
        """An event; JSON has no newline, so its data is one line."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (place.encode(), kind.encode(), body)

    def heartbeat(self, offset: int, time_ns: int) -> bytes:
        """A comment."""
        del offset, time_ns
        return _COMMENT


FORMATS = (
    Format(
        name="sse",
        media_types=("text/event-stream",),
        charset="utf-8",
        make=Sse,
        marks_gaps=True,
        has_records=True,
        has_event_ids=True,
    ),
)
