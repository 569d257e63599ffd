"""What a supervisor knows, as JSON, for the next image of its process: one encoder, one decoder.

A snapshot is a tree of dataclasses. Their annotations are the format: fields of dataclasses,
enumerations, bytes, containers of these, and what JSON has. A field that an older snapshot lacks
gets its default; a key that this release doesn't know is passed over. Whatever changes otherwise
raises `VERSION`.
"""

from __future__ import annotations

import functools
import types
import typing
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final, TypeVar, Union, get_args, get_origin

# The layout of a snapshot.
VERSION: Final = 2

T = TypeVar("T")

_COLLECTIONS: Final[dict[Any, Callable[[list[Any]], Any]]] = {
    list: list,
    Sequence: list,
    set: set,
    deque: deque,
}


def to_json(value: Any) -> Any:
    """The value as JSON has it; a mapping whose keys aren't strings becomes a list of pairs."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        items = [(to_json(key), to_json(item)) for key, item in value.items()]
        return dict(items) if all(isinstance(key, str) for key, _ in items) else items
    if isinstance(value, Collection) and not isinstance(value, str):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], value: Any) -> T:
    """A value of this type. Raises: TypeError, ValueError, KeyError, when it isn't one."""
    decoded: T = _decoded(kind, value)
    return decoded


def _decoded(kind: Any, value: Any) -> Any:  # noqa: PLR0911 - one line for each sort of type
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # of a type and None
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _decoded(inner, value)
    if origin in _COLLECTIONS:
        return _COLLECTIONS[origin]([_decoded(arguments[0], item) for item in value])
    if origin is tuple:
        return tuple(_decoded(inner, item) for inner, item in zip(arguments, value, strict=True))
    if origin is dict:
        items = value.items() if isinstance(value, dict) else value
        return {_decoded(arguments[0], k): _decoded(arguments[1], item) for k, item in items}
    if (hints := _hints(kind)) is not None:
        return kind(**{n: _decoded(hints[n], item) for n, item in value.items() if n in hints})
    if issubclass(kind, Enum):
        return kind(value)
    if kind is bytes:
        return b64decode(value)
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any] | None:
    """The types of a dataclass's fields; None for another class."""
    if not is_dataclass(kind):
        return None
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
