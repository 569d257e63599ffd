"""How large a submission may be in each direction, before it is looked at as a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from service.jobs.errors import Place
from service.jobs.spec import MAX_COMMANDS, MAX_LABELS, escape

# Arrays and objects within each other. A job needs four; what comes later may need a few more.
MAX_NESTING: Final = 16
# Characters of one string, a whole script in a command line among them.
MAX_TEXT: Final = 8 << 20


class Bounds(NamedTuple):
    """The most of each that this service takes; by default as much as any does."""

    commands: int = MAX_COMMANDS
    labels: int = MAX_LABELS
    nesting: int = MAX_NESTING
    text: int = MAX_TEXT


def places_out_of_bounds(raw: Any, bounds: Bounds) -> Iterator[Place]:
    """Every place of the decoded body that is more than `bounds` allow.

    What is nested too deeply is not looked into.
    """
    if isinstance(raw, dict):
        for key, most in (("Commands", bounds.commands), ("Labels", bounds.labels)):
            what = key.lower()
            if isinstance(held := raw.get(key), (list, dict)) and len(held) > most:
                yield Place(f"/{key}", f"expected at most {most} {what}, got {len(held)}")
    waiting: list[tuple[str, Any, int]] = [("", raw, 1)]
    while waiting:
        pointer, value, depth = waiting.pop()
        if isinstance(value, str):
            yield from _places_in_size(value, pointer, bounds)
        elif isinstance(value, (dict, list)):
            if depth > bounds.nesting:
                yield Place(pointer, f"expected a nesting of at most {bounds.nesting}")
                continue
            if isinstance(value, dict):
                for key in value:
                    yield from _places_in_size(key, pointer, bounds)
            steps = value if isinstance(value, dict) else range(len(value))
            waiting += [
                (f"{pointer}/{escape(str(step))}", value[step], depth + 1) for step in steps
            ]


def _places_in_size(text: str, pointer: str, bounds: Bounds) -> Iterator[Place]:
    if len(text) > bounds.text:
        yield Place(pointer, f"expected at most {bounds.text} characters, got {len(text)}")
