"""The opaque `Next` of a list, which `after` takes: the place of the last job that was shown.

It holds the order of the list, and the time from which durations back (`since=10m`) are counted, so
that all pages are of the same time.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from service.api.forms import Unfit
from service.store import Order, Position

# `s` for the oldest first: cursors of the first release, which had no other order.
_LETTERS: Final = {
    Order.OLDEST: "s",
    Order.NEWEST: "n",
    Order.CPU: "c",
    Order.MEMORY: "m",
    Order.OUTPUT: "o",
}
_ORDERS: Final = {letter: order for order, letter in _LETTERS.items()}
# Numbers of at most 18 digits are less than 2**63.
_CURSOR: Final = re.compile(
    r"([snmco])([0-9]{1,18})(?::([0-9]{1,18}))?(?:@([0-9]{1,19}))?", re.ASCII
)


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _pattern() -> str:
    """What a pattern can say of a cursor: its letter and the first digit, in base64."""
    # What follows the digit is part of the third character: another digit, `:` or the end, or `@`.
    begins = {_encoded(f"{a}{digit}{b}") for a in _ORDERS for digit in range(10) for b in ("", "@")}
    letters = "|".join(sorted({begin[:2] for begin in begins}))
    digits = "".join(sorted({begin[2] for begin in begins}))
    return f"^({letters})[{digits}][A-Za-z0-9_-]*$"


# For the description of the API. Only the service makes cursors: not all that fits is one.
SCHEMA: Final = {"type": "string", "pattern": _pattern(), "maxLength": 80}


class Cursor(msgspec.Struct, frozen=True):
    """`at` is nanoseconds since 1970; None: no duration was given."""

    order: Order
    position: Position
    at: int | None = None

    def __str__(self) -> str:
        text = f"{_LETTERS[self.order]}{self.position.seq}"
        if self.order.is_by_use:
            text += f":{self.position.value}"
        if self.at is not None:
            text += f"@{self.at}"
        return _encoded(text)


def parse_cursor(text: str) -> Cursor:
    """Raises: Unfit."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        match = _CURSOR.fullmatch(decoded.decode("ascii"))
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        raise Unfit(text)
    order = _ORDERS[match[1]]
    if (match[3] is not None) is not order.is_by_use:
        raise Unfit(text)
    position = Position(int(match[3] or 0), int(match[2]))
    found = Cursor(order, position, int(match[4]) if match[4] else None)
    if str(found) != text:  # another spelling, with leading zeros or bits that base64 drops
        raise Unfit(text)
    return found
