"""Waiting for what nobody tells: for all else there is a pipe, an event or an awaitable."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

# Seconds: a bound for what takes moments, or, on a busy machine, a minute.
_BOUND_S = 300.0
# Seconds between two looks; less, and the looking takes the processor from what is waited for.
_LOOK_S = 0.05


def until(holds: Callable[[], object]) -> None:
    """Return once it holds, which is found out by looking."""
    ends = time.monotonic() + _BOUND_S
    while not holds():
        assert time.monotonic() < ends, "it never came about"
        select.select([], [], [], _LOOK_S)
