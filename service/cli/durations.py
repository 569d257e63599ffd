"""Durations: written `90`, `90s`, `10m`, `2h`, `7d`, and shown as short as they can be."""

from __future__ import annotations

import re
from typing import Final

import click

_UNITS_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PAIRS: Final = ((86400, 3600, "d", "h"), (3600, 60, "h", "m"), (60, 1, "m", "s"))
_FORM: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhd]?)")


class Duration(click.ParamType[float]):
    """Seconds."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        if (found := _FORM.fullmatch(f"{value}")) is None:
            self.fail(f"Expected a duration such as 90, 90s, 10m or 2h, got {value!r}.", param, ctx)
        return float(found[1]) * _UNITS_S[found[2]]


DURATION: Final = Duration()


def shown(seconds: float) -> str:
    """In its two largest units.

    >>> [shown(s) for s in (0.05, 9.96, 61, 3725, 90061)]
    ['0.1s', '10s', '1m01s', '1h02m', '1d01h']
    """
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for big, small, sign, below in (
        (86400, 3600, "d", "h"),
        (3600, 60, "h", "m"),
        (60, 1, "m", "s"),
    ):
        if whole >= big:
            return f"{whole // big}{sign}{whole % big // small:02}{below}"
    return f"{whole}s"
