"""Bytes for people."""

from __future__ import annotations

import re
from typing import Final

import click

_UNITS: Final = ("kB", "MB", "GB", "TB")
_ASKED: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_FORM: Final = re.compile(r"([0-9]{1,15})([KMGT]?)", re.IGNORECASE)


class Size(click.ParamType[int]):
    """Bytes, in units of 1024."""

    name = "size"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        if (found := _FORM.fullmatch(value)) is None:
            self.fail(f"Expected a size such as 8G, 500M or 1048576, got {value!r}.", param, ctx)
        return int(found[1]) << _ASKED[found[2].upper()]


SIZE: Final = Size()


def shown_bytes(size: int) -> str:
    """In the unit that needs at most three digits before the point.

    >>> [shown_bytes(size) for size in (0, 999, 1000, 12_345, 999_960, 10**13)]
    ['0 B', '999 B', '1.0 kB', '12.3 kB', '1.0 MB', '10.0 TB']
    """
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        value /= 1000
        if round(value, 1) < 1000 or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}"
