"""Whether a JSON object is the message that its type declares, and if not, why not.

A check is compiled once from the annotations of a `TypedDict`. A missing key and a value of the
wrong type or out of its bounds are refused; a key that the type doesn't declare is ignored in a
message, so that a newer peer may say more, and refused in an object inside of a message, which is
understood whole or not at all. The reason names the key and what was expected, never the value:
environments hold secrets.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

# Says what was expected, or None when the value fits.
_Check: TypeAlias = Callable[[Any], str | None]

_EXPECTED: Final[dict[type, str]] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
}


class InvalidMessage(Exception):
    """A message that isn't what its type declares; the text is for a person."""


def checker(message_type: type, *, but: Sequence[str] = ()) -> Callable[[Mapping[str, Any]], None]:
    """A check for messages of this `TypedDict`, which raises InvalidMessage. Of the values of the
    keys `but` only the presence is checked.
    """
    check = _object(message_type, is_open=True, but=but)

    def checked(message: Mapping[str, Any]) -> None:
        if (wrong := check(message)) is not None:
            raise InvalidMessage(f"{message['type']}: {wrong}")

    return checked


def _object(declared: type, *, is_open: bool, but: Sequence[str] = ()) -> _Check:
    required: list[tuple[str, _Check]] = []
    optional: list[tuple[str, _Check]] = []
    for key, hint in get_type_hints(declared, include_extras=True).items():
        if key in but:
            required.append((key, lambda _: None))
        elif get_origin(hint) is NotRequired:
            optional.append((key, _check(get_args(hint)[0])))
        else:
            required.append((key, _check(hint)))
    known = {key for key, _ in (*required, *optional)}
    missing = object()

    def check(value: Any) -> str | None:
        if type(value) is not dict:
            return "expected an object"
        for key, fits in required:
            item = value.get(key, missing)
            if item is missing:
                return f"`{key}` is missing"
            if (wrong := fits(item)) is not None:
                return f"`{key}`: {wrong}"
        for key, fits in optional:
            item = value.get(key, missing)
            if item is not missing and (wrong := fits(item)) is not None:
                return f"`{key}`: {wrong}"
        if not is_open and not value.keys() <= known:
            return "has a key that this release doesn't know"
        return None

    return check


def _check(hint: Any) -> _Check:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(arguments[0], arguments[1:])
    if origin is Literal:
        return _one_of(arguments)
    if origin is types.UnionType or origin is Union:
        return _any_of([_check(argument) for argument in arguments])
    if origin is Sequence:
        return _items(_check(arguments[0]))
    if origin is Mapping:
        return _entries(_check(arguments[0]), _check(arguments[1]))
    if is_typeddict(hint):
        return _object(hint, is_open=False)
    return _plain(hint)


def _plain(wanted: type) -> _Check:
    expected = f"expected {_EXPECTED[wanted]}"
    # JSON has one type for numbers, and true is no number here though Python has it as one.
    allowed = (int, float) if wanted is float else (wanted,)
    return lambda value: None if type(value) in allowed else expected


def _bounded(wanted: Any, bounds: tuple[Callable[[Any], bool], ...]) -> _Check:
    fits = _check(wanted)
    (bound,) = bounds
    expected = f"expected {bound}"

    def check(value: Any) -> str | None:
        return fits(value) or (None if bound(value) else expected)

    return check


def _one_of(values: tuple[object, ...]) -> _Check:
    expected = f"expected one of {', '.join(map(repr, values))}"
    return lambda value: None if type(value) is str and value in values else expected


def _any_of(checks: list[_Check]) -> _Check:
    def check(value: Any) -> str | None:
        wrong = [check(value) for check in checks]
        return None if None in wrong else " or ".join(filter(None, wrong))

    return check


def _items(fits: _Check) -> _Check:
    def check(value: Any) -> str | None:
        if type(value) is not list:
            return "expected a list"
        return next(filter(None, map(fits, value)), None)

    return check


def _entries(key_fits: _Check, fits: _Check) -> _Check:
    def check(value: Any) -> str | None:
        if type(value) is not dict:
            return "expected an object"
        wrong = (key_fits(key) or fits(item) for key, item in value.items())
        return next(filter(None, wrong), None)

    return check
