"""A line of JSON for each record, whose `Type` says which."""

from __future__ import annotations

from service.output.formats.format import Format
from service.output.formats.records import RecordEncoder
from service.output.formats.times import rfc3339_ns

__all__ = ["FORMATS", "Ndjson"]


class Ndjson(RecordEncoder):
    """An object for each record."""

    __slots__ = ()

    def frame(self, kind: str, body: bytes, place: str) -> bytes:
        """A line."""
        del place
        return b"".join((b'{"Type":"', kind.encode(), b'",', memoryview(body)[1:], b"\n"))

    def heartbeat(self, offset: int, time_ns: int) -> bytes:
        """A record that says where the reader continues."""
        place = self.told_up_to(offset)
        body = {"Offset": place, "Time": rfc3339_ns(time_ns)}
        return self.record("heartbeat", body, place)


FORMATS = (
    Format(
        name="ndjson",
        media_types=("application/x-ndjson", "application/jsonl"),
        make=Ndjson,
        marks_gaps=True,
        has_records=True,
    ),
)
