"""`Last-Event-ID`: what an `EventSource` sends when it connects again."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from service.api.forms import Form, Unfit

# Digits of an offset; signed 64-bit numbers have at most 19.
_ID: Final = re.compile(r"([0-9]{1,18})(\.end)?", re.ASCII)


class LastEvent(msgspec.Struct, frozen=True):
    """The place behind the last event that the reader has; `is_end`: it was the end record."""

    offset: int
    is_end: bool


def last_event_id() -> Form[LastEvent]:
    """An ID that an event of this service had."""

    def parse(given: str) -> LastEvent:
        found = _ID.fullmatch(given)
        if found is None:
            raise Unfit(given)
        return LastEvent(int(found[1]), is_end=found[2] is not None)

    expected = "the ID of an event: an offset, or one with '.end'"
    return Form(parse, expected, {"type": "string", "pattern": r"^[0-9]{1,18}(\.end)?$"})
