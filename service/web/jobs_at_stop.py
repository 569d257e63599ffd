"""What a start and a stop of the service mean for its jobs, for the one who starts and stops it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec


class JobsAtStop(msgspec.Struct, frozen=True, kw_only=True):
    """`began` is called once the supervisor serves, and
    blocks. `drain` takes in no more jobs, and returns when none runs any more, within a bound;
    None: a stop doesn't wait for jobs. `end` takes `end_s` seconds at most, and returns False if
    jobs may still run.
    """

    began: Callable[[], None]
    drain: Callable[[], Coroutine[Any, Any, None]] | None
    end: Callable[[], Coroutine[Any, Any, bool]]
    end_s: float
