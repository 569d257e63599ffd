"""Answers of a service of another release, as views of this one.

Members that are unknown are ignored. A member that the service doesn't send yet has the value that
says nothing: null where it may be null, else false, or an empty list, object or view. Text and
numbers have no such value: without one of those an answer is none. Neither is an object that has
no member of the view: it is another program's.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

V = TypeVar("V")

NOTHING: Final = object()
"""There is no such value."""


def view_of(text: bytes, decoder: msgspec.json.Decoder[V]) -> V:
    """What `decoder` makes of `text`. Raises: msgspec.DecodeError."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        # Rare, so an answer of this release costs nothing.
        whole = _completed(msgspec.json.decode(text), _described(decoder.type))  # type: ignore[arg-type]
        return msgspec.convert(whole, decoder.type)


@cache
def _described(wanted: Any) -> inspect.Type:
    return inspect.type_info(wanted)


def _completed(value: Any, of: inspect.Type) -> Any:
    """`value` with the members that it lacks."""
    match of:
        case inspect.Metadata():
            return _completed(value, of.type)
        case inspect.UnionType():
            return _completed(value, _chosen(value, of))
        case inspect.StructType() if isinstance(value, dict) and _has_any(value, of):
            for member in of.fields:
                name = member.encode_name
                if name in value:
                    value[name] = _completed(value[name], member.type)
                elif member.required and (empty := neutral(member.type)) is not NOTHING:
                    value[name] = empty
        case inspect.ListType() if isinstance(value, list):
            return [_completed(each, of.item_type) for each in value]
        case inspect.DictType() if isinstance(value, dict):
            return {key: _completed(each, of.value_type) for key, each in value.items()}
    return value


def _has_any(value: dict[str, Any], of: inspect.StructType) -> bool:
    return any(member.encode_name in value for member in of.fields)


def _chosen(value: Any, of: inspect.UnionType) -> inspect.Type:
    """The view that `value` is: the one with its tag, or the only one."""
    views = [each for each in of.types if isinstance(each, inspect.StructType)]
    for each in views:
        if isinstance(value, dict) and each.tag_field and value.get(each.tag_field) == each.tag:
            return each
    others = [each for each in of.types if not isinstance(each, inspect.NoneType)]
    return others[0] if len(others) == 1 else inspect.AnyType()


def neutral(of: inspect.Type) -> Any:
    """The value that says nothing, as JSON has it."""
    match of:
        case inspect.Metadata():
            return neutral(of.type)
        case inspect.UnionType() if of.includes_none:
            return None
        case inspect.NoneType() | inspect.AnyType():
            return None
        case inspect.BoolType():
            return False
        case inspect.ListType():
            return []
        case inspect.DictType():
            return {}
        case inspect.StructType():
            members = {
                member.encode_name: neutral(member.type) for member in of.fields if member.required
            }
            return NOTHING if NOTHING in members.values() else members
    return NOTHING
