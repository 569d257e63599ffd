"""What the text of a parameter may be: how it is parsed, described, and named in an error."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from service.jobs.fields import MAX_SECONDS

# Python's own float() takes more: `1_0`, spaces, `inf`, digits of other scripts.
_DECIMAL: Final = re.compile(r"([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,3})?")

T = TypeVar("T")


class Unfit(Exception):
    """Raised by `Form.parse`: `got` isn't what was expected."""

    def __init__(self, got: str) -> None:
        super().__init__(got)
        self.got = got


class Form(msgspec.Struct, Generic[T], frozen=True):
    """`parse` raises `Unfit`; `expected` completes "expected …" in an error; `write` gives a value
    as JSON has it.
    """

    parse: Callable[[str], T]
    expected: str
    schema: Mapping[str, Any]
    write: Callable[[T], Any] = lambda value: value


def text() -> Form[str]:
    """Any text."""
    return Form(str, "any text", {"type": "string"})


def integer(low: int, high: int) -> Form[int]:
    """A whole number within bounds, both included."""

    def parse(given: str) -> int:
        digits = given.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) < 20:
            value = int(given)
            if low <= value <= high:
                return value
        raise Unfit(given)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Form(parse, f"a whole number from {low} to {high}", schema)


def seconds(most: int = MAX_SECONDS) -> Form[float]:
    """A duration, as a decimal number."""

    def parse(given: str) -> float:
        value = float(given) if _DECIMAL.fullmatch(given) else math.nan
        if not 0 <= value <= most:
            raise Unfit(given)
        return value

    schema = {"type": "number", "minimum": 0, "maximum": most}
    return Form(parse, f"seconds from 0 to {most}", schema)


def flag() -> Form[bool]:
    """Yes or no."""

    def parse(given: str) -> bool:
        if given not in ("true", "false", "1", "0"):
            raise Unfit(given)
        return given in ("true", "1")

    return Form(parse, "'true' or 'false'", {"type": "boolean"})


def one_of(choices: Mapping[str, T]) -> Form[T]:
    """One of some words, each with its value."""

    def parse(given: str) -> T:
        if given not in choices:
            raise Unfit(given)
        return choices[given]

    return Form(
        parse,
        f"one of {', '.join(choices)}",
        {"type": "string", "enum": list(choices)},
        {value: word for word, value in choices.items()}.__getitem__,
    )
