"""Points in time as callers write them: RFC 3339, seconds since 1970, or a duration back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from service.api.forms import Form, Unfit
from service.jobs.record import MAX_TIME_NS

_NS: Final = 1_000_000_000
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BACK: Final = re.compile(r"([0-9]{1,9})([smhd])")
_EPOCH: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?")
# A blank before the offset: in a query string `+` means one.
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([-+ ])([0-9]{2}:[0-9]{2}))"
)
# For the description: of these forms, values that exist; the leap days are left out.
_BACK_PATTERN: Final = "[0-9]{1,9}[smhd]"
_EPOCH_PATTERN: Final = r"[0-9]{1,10}(\.[0-9]{1,9})?"
_DAY_PATTERN: Final = (
    "((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
)
_RFC3339_PATTERN: Final = (
    rf"(19[7-9][0-9]|2[0-9]{{3}})-{_DAY_PATTERN}T([01][0-9]|2[0-3])(:[0-5][0-9]){{2}}"
    r"(\.[0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])"
)


class Moment(msgspec.Struct, frozen=True):
    """Nanoseconds since 1970, or back from now."""

    ns: int
    is_back: bool = False

    def at(self, now: int) -> int:
        """Nanoseconds since 1970, when it is `now`."""
        return max(0, now - self.ns) if self.is_back else self.ns


def _moment(text: str) -> Moment:
    if match := _BACK.fullmatch(text):
        return Moment(int(match[1]) * _UNITS_S[match[2]] * _NS, is_back=True)
    if match := _EPOCH.fullmatch(text):
        return _within(int(match[1]) * _NS + _nanoseconds(match[2]))
    if match := _RFC3339.fullmatch(text):
        offset = "+00:00" if match[5] is None else f"{match[4].replace(' ', '+')}{match[5]}"
        try:
            second = datetime.fromisoformat(f"{match[1]}T{match[2]}{offset}").astimezone(UTC)
        except (ValueError, OverflowError) as exc:
            raise Unfit(text) from exc
        return _within(int(second.timestamp()) * _NS + _nanoseconds(match[3]))
    raise Unfit(text)


def _within(ns: int) -> Moment:
    return Moment(min(max(0, ns), MAX_TIME_NS))


def _nanoseconds(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))


MOMENT: Final = Form(
    _moment,
    "a time (RFC 3339, as 2026-01-31T12:00:00Z; seconds since 1970) or a duration back from now"
    " (90s, 10m, 2h, 7d)",
    {
        "type": "string",
        "pattern": f"^({_BACK_PATTERN}|{_EPOCH_PATTERN}|{_RFC3339_PATTERN})$",
        "examples": ["2026-01-31T12:00:00Z", "1769860800", "90s", "10m", "2h", "7d"],
    },
)
