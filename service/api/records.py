"""The formats of what consists of JSON objects, for the routes that offer no other."""

from __future__ import annotations

from typing import Final

from service.api import forms
from service.output.formats.format import Format
from service.output.formats.ndjson import FORMATS as NDJSON
from service.output.formats.records import RecordEncoder
from service.output.formats.sse import FORMATS as SSE

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


def framing(wanted: Format) -> RecordEncoder:
    """What frames records in one of `RECORDS`."""
    encoder = wanted.encoder()
    assert isinstance(encoder, RecordEncoder)  # noqa: S101 - those of `RECORDS` are
    return encoder
