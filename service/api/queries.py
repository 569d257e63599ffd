"""Query parameters: each named, read and bounded; what doesn't fit is told by name.

A parameter that a route doesn't know is refused, as a key of a body is: a typo would otherwise be
taken for the default.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import signal as signals
from collections.abc import Collection
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from service.errors import BadQuery
from service.jobs.fields import MAX_SECONDS
from service.jobs.lifecycle import JOB_STATES, LIVE, State
from service.output.index import STDERR, STDOUT
from service.store import Query

MAX_LIMIT: Final = 1000
# Beyond any file: offsets are signed 64-bit numbers in the kernel.
MAX_OFFSET: Final = 2**63 - 1
_STREAMS: Final = {"stdout": STDOUT, "stderr": STDERR}
_MAX_QUERY_FIELDS: Final = 100
# Python's own float() takes more: `1_0`, spaces, `inf`, digits of other scripts.
_DECIMAL: Final = re.compile(r"([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,3})?")

T = TypeVar("T")


class Parameters:
    """The parameters of one request. Raises: BadQuery, from every method."""

    def __init__(self, query_string: str, *, known: Collection[str]) -> None:
        try:
            pairs = parse_qsl(
                query_string,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_QUERY_FIELDS,
            )
        except ValueError as exc:
            raise BadQuery(f"The query string can't be read: {exc}.") from exc
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if name not in known:
                expected = ", ".join(sorted(known)) or "none"
                raise BadQuery(f"Unknown query parameter {name[:80]!r}; expected: {expected}.")
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        values = self.all(name)
        if len(values) > 1:
            raise BadQuery(
                f"The query parameter {name!r} was given {len(values)} times, expected one."
            )
        return values[0] if values else None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name)
        if text is None:
            return default
        digits = text.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) < 20:
            value = int(text)
            if low <= value <= high:
                return value
        raise _bad(name, f"a whole number from {low} to {high}", text)

    def seconds(self, name: str) -> float | None:
        text = self.text(name)
        if text is None:
            return None
        value = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not 0 <= value <= MAX_SECONDS:
            raise _bad(name, f"seconds from 0 to {MAX_SECONDS}", text)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.text(name)
        if text is None:
            return default
        if text not in ("true", "false", "1", "0"):
            raise _bad(name, "'true' or 'false'", text)
        return text in ("true", "1")

    def one_of(self, name: str, choices: dict[str, T]) -> T | None:
        text = self.text(name)
        if text is None:
            return None
        if text not in choices:
            raise _bad(name, f"one of {', '.join(choices)}", text)
        return choices[text]


def list_query(query_string: str) -> tuple[Query, bool]:
    """What `GET /` asks for, and whether full views are wanted."""
    known = ("state", "name", "label", "limit", "after", "view")
    parameters = Parameters(query_string, known=known)
    labels = []
    for label in parameters.all("label"):
        key, equals, value = label.partition("=")
        if not key or not equals:
            raise _bad("label", "'name=value'", label)
        labels.append((key, value))
    query = Query(
        states=_states(parameters.text("state")),
        name=parameters.text("name"),
        labels=tuple(labels),
        limit=parameters.integer("limit", MAX_LIMIT, 1, MAX_LIMIT),
        after=_after(parameters.text("after")),
    )
    return query, parameters.one_of("view", {"full": True, "ids": False}) or False


def attach_query(query_string: str) -> tuple[int, int | None, bool, bool]:
    """Offset, stream (None: both), whether to follow, and whether gaps are marked, not cut at."""
    parameters = Parameters(query_string, known=("offset", "stream", "follow", "gaps"))
    offset = parameters.integer("offset", 0, -MAX_OFFSET, MAX_OFFSET)
    stream = parameters.one_of("stream", _STREAMS)
    follow = parameters.flag("follow", default=True)
    marked = parameters.one_of("gaps", {"cut": False, "mark": True}) or False
    return offset, stream, follow, marked


def kill_query(query_string: str) -> tuple[int, float | None, bool]:
    """Signal, grace in seconds (None: the job's own), and whether to wait for the end."""
    parameters = Parameters(query_string, known=("signal", "grace", "wait"))
    text = parameters.text("signal")
    number = signals.SIGTERM if text is None else _signal(text)
    return number, parameters.seconds("grace"), parameters.flag("wait", default=False)


def cursor(seq: int) -> str:
    """The opaque `Next` that `after` takes."""
    return base64.urlsafe_b64encode(f"s{seq}".encode()).decode().rstrip("=")


def _after(text: str | None) -> int:
    if text is None:
        return 0
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        seq = decoded.decode("ascii")
    except (binascii.Error, ValueError):
        seq = ""
    digits = seq.removeprefix("s")
    if not seq.startswith("s") or not digits.isdigit() or len(digits) > 18:
        raise _bad("after", "a cursor that Next gave", text)
    return int(digits)


def _states(text: str | None) -> frozenset[State]:
    if text is None:
        return LIVE
    if text == "all":
        return frozenset(JOB_STATES)
    known = {state.value: state for state in JOB_STATES}
    words = text.split(",")
    for word in words:
        if word not in known:
            raise _bad("state", f"all, or any of {', '.join(known)}, separated by commas", word)
    return frozenset(known[word] for word in words)


def _signal(text: str) -> int:
    name = text if text.startswith("SIG") else f"SIG{text}"
    try:
        return signals.Signals[name]
    except KeyError as exc:
        raise _bad("signal", "a signal's name, as TERM or SIGINT", text) from exc


def _bad(name: str, expected: str, got: str) -> BadQuery:
    return BadQuery(f"The query parameter {name!r}: expected {expected}, got {got[:80]!r}.")
