"""The service's side of the frames: their JSON goes through msgspec, at a fifth of the standard
library's cost, which is what the supervisor itself stays with. What msgspec refuses, lone
surrogates, the standard library takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from service.link.frames import encode, frame

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


def framed(message: Mapping[str, object]) -> bytes:
    """What `encode` gives, in fewer instructions."""
    try:
        return frame(_ENCODER.encode(message))
    except UnicodeEncodeError:
        return encode(message)


def parse(body: bytes) -> Any:
    """What json.loads gives, in fewer instructions. Raises: ValueError."""
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError:
        return json.loads(body)
