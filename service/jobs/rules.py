"""Rules between the keys of an object, in JSON Schema, for the description of the API.

They stand below one `not`, and name what is forbidden. Generators of clients leave that out; of
alternatives (`oneOf`, `anyOf`) and of keys that may only be null they make types that nobody can
use.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}


def none_of(*schemas: Schema) -> Schema:
    """Whatever is as none of `schemas` says."""
    return {"not": {"anyOf": list(schemas)} if len(schemas) > 1 else schemas[0]}


def having(**keys: Schema) -> Schema:
    """An object that has all of these keys, with such values."""
    return {"required": list(keys), "properties": keys}
