"""The end record as fields of HTTP.

A finished job has it in the head of the response, as `Jobrunner-…` fields. A response that is
chunked has it behind its last chunk, for clients that ask for trailers. Who compares its byte
counts with what came knows that nothing is missing, whatever a proxy made of a stream that broke.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from service.jobs.views import EndRecord

_PREFIX: Final = "Jobrunner-"
FIELDS: Final = tuple(_PREFIX + name for name in EndRecord.__struct_encode_fields__)


def as_fields(end: EndRecord) -> dict[str, str]:
    """As fields of HTTP; what is null has none."""
    members: dict[str, Any] = msgspec.to_builtins(end)
    return {_PREFIX + name: str(value) for name, value in members.items() if value is not None}
