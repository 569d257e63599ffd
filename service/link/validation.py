"""Whether a JSON object is the message that its type declares, and if not, why not.

A check is compiled once from the annotations of a `TypedDict`. A missing key and a value of the
wrong type or out of its bounds are refused; a key that the type doesn't declare is ignored in a
message, so that a newer peer may say more, and refused in an object inside of a message, which is
understood whole or not at all. The reason names the key and what was expected, never the value:
environments hold secrets.

A check looks only at the keys that are there, and calls a function only for what is no plain value:
each message of each job passes one.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    NotRequired,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from service.link.values import Between, Bound

# Says what is wrong with a value of the right type, or None.
_Check: TypeAlias = Callable[[Any], str | None]

# JSON has one type for numbers. True is none of them, though Python has it as one.
_TYPES: Final[dict[type, tuple[type, ...]]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
    types.NoneType: (types.NoneType,),
}
_EXPECTED: Final[dict[type, str]] = {
    str: "expected a string",
    int: "expected an integer",
    float: "expected a number",
    bool: "expected true or false",
    types.NoneType: "expected null",
}


class InvalidMessage(Exception):
    """A message that isn't what its type declares; the text is for a person."""


class _Rule(NamedTuple):
    """What a value must be: of one of the `types`, and within the `bounds` if there are any; `more`
    is called with what passes.
    """

    types: tuple[type, ...]
    expected: str
    bounds: tuple[float, float] | None = None
    more: _Check | None = None


def checker(message_type: type, *, but: Sequence[str] = ()) -> Callable[[Mapping[str, Any]], None]:
    """A check for messages of this `TypedDict`, which raises InvalidMessage. Of the values of the
    keys `but` only the presence is checked.
    """
    check = _fields(message_type, is_open=True, but=but)

    def checked(message: Mapping[str, Any]) -> None:
        if (wrong := check(message)) is not None:
            raise InvalidMessage(f"{message['type']}: {wrong}")

    return checked


def _fields(declared: type, *, is_open: bool, but: Sequence[str] = ()) -> _Check:
    hints = get_type_hints(declared, include_extras=True)
    required = [key for key, hint in hints.items() if get_origin(hint) is not NotRequired]
    must = frozenset(required)
    rules = {
        key: _rule(get_args(hint)[0] if get_origin(hint) is NotRequired else hint)
        for key, hint in hints.items()
        if key not in but
    }
    find = rules.get

    def check(value: Mapping[str, Any]) -> str | None:
        if not must <= value.keys():
            return f"`{next(key for key in required if key not in value)}` is missing"
        for key, item in value.items():
            rule = find(key)
            if rule is not None:
                # The plain values, without a call; what fails, and the rest, below.
                allowed, _, bounds, more = rule
                if more is None and type(item) in allowed:
                    if bounds is None:
                        continue
                    low, high = bounds
                    if low <= item <= high:
                        continue
                if (wrong := _wrong(rule, item)) is not None:
                    return f"`{key}`: {wrong}"
            elif not (is_open or key in but):
                return "has a key that this release doesn't know"
        return None

    return check


def _wrong(rule: _Rule, item: Any) -> str | None:
    allowed, expected, bounds, more = rule
    if type(item) not in allowed:
        return expected
    if bounds is not None and not bounds[0] <= item <= bounds[1]:
        return f"expected a number from {bounds[0]:g} to {bounds[1]:g}"
    return None if more is None else more(item)


def _rule(hint: Any) -> _Rule:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(_rule(arguments[0]), arguments[1])
    if origin is Literal:
        expected = f"expected one of {', '.join(map(repr, arguments))}"
        return _Rule((str,), expected, more=lambda item: None if item in arguments else expected)
    if origin is types.UnionType or origin is Union:
        return _any_of([_rule(argument) for argument in arguments])
    if origin is Sequence:
        return _Rule((list,), "expected a list", more=_each(_rule(arguments[0])))
    if origin is Mapping:
        entries = _entries(_rule(arguments[0]), _rule(arguments[1]))
        return _Rule((dict,), "expected an object", more=entries)
    if is_typeddict(hint):
        return _Rule((dict,), "expected an object", more=_fields(hint, is_open=False))
    return _Rule(_TYPES[hint], _EXPECTED[hint])


def _bounded(rule: _Rule, bound: Bound) -> _Rule:
    if isinstance(bound, Between):
        return rule._replace(bounds=(bound.low, bound.high))
    fits, inner, expected = bound.fits, rule.more, f"expected {bound}"

    def check(item: Any) -> str | None:
        if not fits(item):
            return expected
        return None if inner is None else inner(item)

    return rule._replace(more=check)


def _any_of(rules: list[_Rule]) -> _Rule:
    """The types of the rules differ, so that a value is for one of them."""
    expected = " or ".join(rule.expected for rule in rules)
    allowed = tuple(each for rule in rules for each in rule.types)

    def check(item: Any) -> str | None:
        return next(_wrong(rule, item) for rule in rules if type(item) in rule.types)

    is_plain = all(rule.bounds is None and rule.more is None for rule in rules)
    return _Rule(allowed, expected, more=None if is_plain else check)


def _each(rule: _Rule) -> _Check:
    def check(items: list[Any]) -> str | None:
        for item in items:
            if (wrong := _wrong(rule, item)) is not None:
                return wrong
        return None

    return check


def _entries(key_rule: _Rule, rule: _Rule) -> _Check:
    def check(entries: dict[Any, Any]) -> str | None:
        for key, item in entries.items():
            wrong = _wrong(key_rule, key) or _wrong(rule, item)
            if wrong is not None:
                return wrong
        return None

    return check
