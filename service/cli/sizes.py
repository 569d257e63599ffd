"""Bytes for people."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("kB", "MB", "GB", "TB")


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
