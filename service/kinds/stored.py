"""A validated job as it is stored: canonical JSON, and back."""

from __future__ import annotations

from typing import Any, Final, Union

import msgspec

from service.jobs.spec import JobSpec
from service.kinds import KINDS

_AnyCommand: Any = Union[tuple(kind.spec for kind in KINDS.values())]  # noqa: UP007 - built at run time
_StoredJob: Any = msgspec.defstruct(
    "_StoredJob",
    [("commands", tuple[_AnyCommand, ...])],
    bases=(JobSpec,),
    frozen=True,
    kw_only=True,
    rename="pascal",
)
_STORED_DECODER: Final = msgspec.json.Decoder(_StoredJob)
_STORED_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def encode_spec(spec: JobSpec) -> bytes:
    """`spec` in canonical JSON: two submissions that mean the same give the same bytes."""
    return _STORED_ENCODER.encode(spec)


def decode_spec(data: bytes) -> JobSpec:
    """The spec that `encode_spec` wrote."""
    spec: JobSpec = _STORED_DECODER.decode(data)
    return spec
