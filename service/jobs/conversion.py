"""From a decoded object to a struct, with a JSON pointer to the first value that doesn't fit.

msgspec stops at the first error and names its path (`$.Commands[0].Environment[...]`): it leaves
out the keys of free objects, so the value is looked up in the body.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec

from service.errors import (
    MAX_QUOTED_CHARS,
    FieldError,
    InvalidJob,
    pointer_step,
    refuse_if_any,
)

_S = TypeVar("_S", bound=msgspec.Struct)

_AT: Final = " - at `$"
_STEP: Final = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_WORDS: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
# Of what msgspec says: longer is only what repeats a value.
_MAX_WORDS_CHARS: Final = 200


def convert(raw: dict[str, Any], struct: type[_S], pointer: str = "") -> _S:
    """`raw`, which is at `pointer` of the body, as a `struct`. Raises: InvalidJob."""
    refuse_if_any(_unknown_keys(raw, struct, pointer))
    try:
        return msgspec.convert(raw, struct)
    except msgspec.ValidationError as exc:
        raise InvalidJob([_field_error(exc, raw, struct, pointer)]) from exc


def _unknown_keys(
    raw: dict[str, Any], struct: type[msgspec.Struct], pointer: str
) -> Iterator[FieldError]:
    """Every key of `raw` that `struct` hasn't."""
    names = keys_of(struct)
    if not raw.keys() <= names:
        detail = f"unknown key; expected one of {', '.join(sorted(names))}"
        for key in raw:
            if key not in names:
                yield FieldError(f"{pointer}/{pointer_step(key)}", detail)


def in_json(value: Any) -> str:
    """The beginning of `value` as JSON, for a message; of a container its type only."""
    if isinstance(value, str):
        value = value[:MAX_QUOTED_CHARS]
    elif isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    return msgspec.json.encode(value).decode()[:MAX_QUOTED_CHARS]


def _field_error(
    error: msgspec.ValidationError,
    raw: dict[str, Any],
    struct: type[msgspec.Struct],
    pointer: str,
) -> FieldError:
    """What `error`, raised when `raw` was converted to `struct`, says, with its pointer."""
    what, at, path = str(error).rpartition(_AT)
    if not at:  # msgspec names no path of the whole
        what, path = path, ""
    path = path.removesuffix("`")
    what = what[:_MAX_WORDS_CHARS]
    steps, value = _resolve(path, raw)
    pointer += "".join(f"/{pointer_step(str(step))}" for step in steps)
    if unknown := _UNKNOWN.match(what):
        known = ", ".join(sorted(keys_of(struct)))
        return FieldError(
            f"{pointer}/{pointer_step(unknown[1])}", f"unknown key; expected one of {known}"
        )
    if missing := _MISSING.match(what):
        return FieldError(f"{pointer}/{pointer_step(missing[1])}", "expected this key, got none")
    detail = re.sub(r"`([^`]*)`", lambda m: _in_json_words(m[1]), what)
    detail = detail[:1].lower() + detail[1:]
    secret = "Environment" in steps or "/Files/" in pointer
    if isinstance(value, dict | list) or secret:
        return FieldError(pointer, detail)
    shown = in_json(value)
    return FieldError(
        pointer, f"{detail}: {shown}" if ", got " in detail else f"{detail}, got {shown}"
    )


def _resolve(path: str, raw: Any) -> tuple[list[str | int], Any]:
    steps: list[str | int] = []
    value = raw
    for step in _STEP.finditer(path):
        key: str | int
        if step["key"] is not None:
            key = step["key"]
        elif step["index"] != "...":
            key = int(step["index"])
        else:
            # A free object: all of them map text to text.
            key = next((k for k, v in value.items() if not isinstance(v, str)), "")
        steps.append(key)
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return steps, None
    return steps, value


@functools.cache
def keys_of(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The keys of an object that becomes a `struct`."""
    tag = struct.__struct_config__.tag_field
    return frozenset((*struct.__struct_encode_fields__, *([tag] if tag else [])))


def _in_json_words(name: str) -> str:
    return " or ".join(_WORDS.get(part, part) for part in name.split(" | "))
