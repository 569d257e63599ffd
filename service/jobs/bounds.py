"""How large a submission may be in each direction, before it is looked at as a job.

What a decoder would make of the body is counted in its bytes first: thirty bytes of memory for each
byte of `[[],[],[]…`, and one level of recursion for each bracket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from service.errors import FieldError
from service.jobs.spec import MAX_COMMANDS, MAX_LABELS, escape

# Arrays and objects within each other. A job needs four; what comes later may need a few more.
MAX_NESTING: Final = 16
# The most that a service may allow of them, far from where a recursive decoder gives up.
MAX_DEPTH: Final = 100
# Characters of one string, a whole script in a command line among them.
MAX_TEXT: Final = 8 << 20
# Values of one body: a thousand commands with fifty variables each have half of it.
MAX_VALUES: Final = 100_000

_NOT_A_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))


class Bounds(NamedTuple):
    """The most of each that this service takes; by default as much as any does."""

    commands: int = MAX_COMMANDS
    labels: int = MAX_LABELS
    nesting: int = MAX_NESTING
    text: int = MAX_TEXT


class Size(NamedTuple):
    """No less than there is: the values of a body, and the levels of its arrays and objects."""

    values: int
    depth: int


def size_of(body: bytes) -> Size:
    """The size of the values in `body`, be it valid JSON or not: what a decoder would have made
    when it finds a mistake is counted.
    """
    # Each value but the last is followed by another byte at least.
    values, depth = len(body) // 2 + 1, body.count(b"[") + body.count(b"{")
    if values <= MAX_VALUES and depth <= MAX_NESTING:
        return Size(values, depth)  # most often
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * MAX_VALUES:  # each value may have a name; both have two
        return Size(MAX_VALUES + 1, 0)
    outside = b"".join(body.split(b'"')[::2])  # of all strings
    values = sum(outside.count(mark) for mark in (b"[", b"{", b",")) + 1
    return Size(values, _depth(outside))


def _depth(outside: bytes) -> int:
    depth = deepest = 0
    for bracket in outside.translate(None, _NOT_A_BRACKET)[:MAX_VALUES]:
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth > MAX_DEPTH:
                break
        else:
            depth -= 1
    return deepest


def places_out_of_bounds(raw: Any, bounds: Bounds) -> Iterator[FieldError]:
    """Every place of the decoded body that is more than `bounds` allow in number."""
    if isinstance(raw, dict):
        for key, most in (("Commands", bounds.commands), ("Labels", bounds.labels)):
            what = key.lower()
            if isinstance(held := raw.get(key), (list, dict)) and len(held) > most:
                yield FieldError(f"/{key}", f"expected at most {most} {what}, got {len(held)}")


def places_too_deep_or_long(raw: Any, bounds: Bounds) -> Iterator[FieldError]:
    """Every place of the decoded body that is nested more deeply, or a longer text, than `bounds`
    allow. What is nested too deeply is not looked into.
    """
    # The way to where we are; the last one's values are being looked at.
    steps: list[Any] = [""]
    waiting: list[Iterator[tuple[Any, Any]]] = [iter([("", raw)])]
    while waiting:
        try:
            steps[-1], value = next(waiting[-1])
        except StopIteration:
            waiting.pop()
            steps.pop()
            continue
        if isinstance(value, str):
            yield from _places_in_size(value, steps, bounds)
        elif isinstance(value, (dict, list)):
            if len(waiting) > bounds.nesting:
                yield FieldError(_pointer(steps), f"expected a nesting of at most {bounds.nesting}")
                continue
            if isinstance(value, dict):
                for key in value:
                    yield from _places_in_size(key, steps, bounds)
            waiting.append(iter(value.items() if isinstance(value, dict) else enumerate(value)))
            steps.append("")


def _pointer(steps: Iterable[Any]) -> str:
    return "/".join(escape(str(step)) for step in steps)


def _places_in_size(text: str, steps: Iterable[Any], bounds: Bounds) -> Iterator[FieldError]:
    if len(text) > bounds.text:
        expected = f"expected at most {bounds.text} characters"
        yield FieldError(_pointer(steps), f"{expected}, got {len(text)}")
