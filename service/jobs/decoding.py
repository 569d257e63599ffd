"""From the bytes of a request body to a JSON object, in time and memory linear in its size.

What a decoder would make of the body is counted in its bytes first: thirty bytes of memory for each
byte of `[[],[],[]…`, and one level of recursion for each bracket. Nothing here knows what a job is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from service.errors import FieldError, MalformedBody, pointer_step, refuse_if_any

# Arrays and objects within each other. A job needs four; what comes later may need a few more.
MAX_NESTING: Final = 16
# Beyond it no pointers to what is nested too deeply are looked for; far from where a recursive
# decoder gives up.
MAX_DEPTH: Final = 100
# Characters of one string, a whole script in a command line among them.
MAX_TEXT: Final = 8 << 20
# Values of one body: a thousand commands with fifty variables each have half of it.
MAX_VALUES: Final = 100_000

_NOT_A_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
_JSON_NAMES: Final = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    type(None): "null",
}


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object that `body` is.

    Raises:
        MalformedBody: it is no JSON, or nested beyond all measure.
        InvalidJob: it is JSON, but no object, or an object that is too large.
    """
    size = _size_of(body)
    if size.depth > MAX_DEPTH:
        what = f"arrays and objects of more than {MAX_DEPTH} levels within each other"
        raise MalformedBody(f"Expected a JSON object, got {what}.")
    if size.values > MAX_VALUES:
        expected = f"expected at most {MAX_VALUES} values (texts, numbers, arrays, …) in all"
        refuse_if_any([FieldError("", f"{expected}, got more")])
    try:
        raw = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedBody(_why_malformed(body, exc)) from exc
    if not isinstance(raw, dict):
        got = _JSON_NAMES.get(type(raw), "number")
        refuse_if_any([FieldError("", f"expected object, got {got}")])
    if size.depth > MAX_NESTING or len(body) > MAX_TEXT:
        refuse_if_any(_errors_in_depth_and_length(raw))
    return raw  # type: ignore[no-any-return]  # an object, or refused


def _number(text: str) -> int | float:
    # JSON has one kind of numbers: what is whole is an integer, however it is written.
    number = float(text)
    # Beyond 2**53 a float names no single integer.
    return int(number) if number.is_integer() and abs(number) <= 2**53 else number


_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(float_hook=_number)


def _why_malformed(body: bytes, exc: Exception) -> str:
    if not body.strip():
        return "Expected a JSON object, got an empty body."
    return f"Expected a JSON object, got something that is not JSON: {exc}."


class _Size(NamedTuple):
    """Upper bounds of the values of a body, and of the levels of its arrays and objects."""

    values: int
    depth: int


def _size_of(body: bytes) -> _Size:
    """An upper bound, for valid JSON and for any other bytes: a decoder makes values until it
    finds the error.
    """
    # Each value but the last is followed by another byte at least.
    values, depth = len(body) // 2 + 1, body.count(b"[") + body.count(b"{")
    if values <= MAX_VALUES and depth <= MAX_NESTING:
        return _Size(values, depth)  # most often
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * MAX_VALUES:  # each value may have a name; both have two
        return _Size(MAX_VALUES + 1, 0)
    outside = b"".join(body.split(b'"')[::2])  # of all strings
    values = sum(outside.count(mark) for mark in (b"[", b"{", b",")) + 1
    return _Size(values, _depth(outside))


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


def _errors_in_depth_and_length(raw: Any) -> Iterator[FieldError]:
    """Every value that is nested too deeply, and is not looked into, or is too long a text."""
    # The path to the present value, and the rest of each container on it.
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
            yield from _errors_in_length(value, steps)
        elif isinstance(value, (dict, list)):
            if len(waiting) > MAX_NESTING:
                yield FieldError(_pointer(steps), f"expected a nesting of at most {MAX_NESTING}")
                continue
            if isinstance(value, dict):
                for key in value:
                    yield from _errors_in_length(key, steps)
            waiting.append(iter(value.items() if isinstance(value, dict) else enumerate(value)))
            steps.append("")


def _pointer(steps: Iterable[Any]) -> str:
    return "/".join(pointer_step(str(step)) for step in steps)


def _errors_in_length(text: str, steps: Iterable[Any]) -> Iterator[FieldError]:
    if len(text) > MAX_TEXT:
        expected = f"expected at most {MAX_TEXT} characters"
        yield FieldError(_pointer(steps), f"{expected}, got {len(text)}")
