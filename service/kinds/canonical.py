"""A validated job in the form that idempotency keys compare: what was asked for, without defaults.

A release that adds a key with a default gives the same form for the same body.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Final

import msgspec

from service.jobs.spec import JobSpec
from service.kinds.stored import decode_spec

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def hash_of(spec: JobSpec) -> bytes:
    """The same for two submissions that mean the same."""
    return hashlib.sha256(_ENCODER.encode(asked(spec))).digest()


def is_stored_as(stored: bytes, key_hash: bytes) -> bool:
    """Whether a stored spec, of whichever release, means what was submitted with that hash."""
    try:
        return hash_of(decode_spec(stored)) == key_hash
    except (msgspec.DecodeError, UnicodeDecodeError):  # of a newer release, or damaged
        return False


def asked(value: Any) -> Any:
    """A spec, or a part of it, as JSON without what has its default."""
    if isinstance(value, tuple | list):
        return [asked(each) for each in value]
    if isinstance(value, dict):
        return {key: asked(each) for key, each in value.items()}
    if not isinstance(value, msgspec.Struct):
        return value
    tag = value.__struct_config__.tag_field
    found: dict[str, Any] = {tag: value.__struct_config__.tag} if tag is not None else {}
    for name, key, default in _fields(type(value)):
        held = getattr(value, name)
        if held != default:
            found[key] = asked(held)
    return found


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> list[tuple[str, str, Any]]:
    """Of each field: its name, its key, and its default."""
    return [
        (
            field.name,
            field.encode_name,
            field.default_factory()
            if field.default_factory is not msgspec.NODEFAULT
            else field.default,
        )
        for field in msgspec.structs.fields(struct)
    ]
