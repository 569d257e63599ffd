"""The formats of what consists of JSON objects, for the routes that offer no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.api import forms
from service.output.formats.format import Format
from service.output.formats.ndjson import FORMATS as NDJSON
from service.output.formats.records import RecordEncoder
from service.output.formats.sse import FORMATS as SSE
from service.output.formats.sse import Sse
from service.output.formats.times import rfc3339_ns

RECORDS: Final[tuple[Format, ...]] = (*NDJSON, *SSE)
"""The first one is for callers that take any."""

RECORDS_FORM: Final = forms.one_of({found.name: found for found in RECORDS})
"""The values of `format`."""

# nginx passes the stream on as it comes.
STREAM_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


def heartbeat(encoder: RecordEncoder, place: Mapping[str, object], time_ns: int) -> bytes:
    """What says that a silent stream is alive; as a record it tells where the reader is."""
    if isinstance(encoder, Sse):
        return encoder.heartbeat(0, time_ns)
    return encoder.record("heartbeat", {**place, "Time": rfc3339_ns(time_ns)}, 0)


def framing(wanted: Format) -> RecordEncoder:
    """What frames records in one of `RECORDS`."""
    encoder = wanted.encoder()
    assert isinstance(encoder, RecordEncoder)  # noqa: S101 - those of `RECORDS` are
    return encoder
