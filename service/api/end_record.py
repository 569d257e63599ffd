"""What a reader of output is told last: how the job stands, and how many bytes there were.

A finished job has it in the head of the response, as `Jobrunner-…` fields. A response that is
chunked has it behind its last chunk, for clients that ask for trailers. Who compares its byte
counts with what came knows that nothing is missing, whatever a proxy made of a stream that broke.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from service.jobs.record import JobRecord
from service.jobs.views import EndRecord
from service.output.index import STDERR, STDOUT, LogState

_PREFIX: Final = "Jobrunner-"
FIELDS: Final = tuple(_PREFIX + name for name in EndRecord.__struct_encode_fields__)


def end_record(record: JobRecord, log: LogState) -> EndRecord:
    """Of a job whose log goes so far; counts are those of the whole log."""
    return EndRecord(
        state=record.state.value,
        reason=record.reason.value if record.reason else None,
        exit_code=record.exit_code,
        signal=record.signal,
        bytes=log.size(),
        stdout=log.size(STDOUT),
        stderr=log.size(STDERR),
    )


def as_fields(end: EndRecord) -> dict[str, str]:
    """As fields of HTTP; what is null has none."""
    members: dict[str, Any] = msgspec.to_builtins(end)
    return {_PREFIX + name: str(value) for name, value in members.items() if value is not None}
