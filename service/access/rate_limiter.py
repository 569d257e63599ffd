"""A rate limit per key: token buckets, bounded in number."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

# Keys that are remembered; beyond it those that were quiet longest start anew.
_MAX_KEYS: Final = 10_000


class RateLimiter:
    """`per_s` on average, `burst` at once; `per_s` 0 is no limit. For one thread."""

    def __init__(
        self, per_s: float, burst: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = max(1.0, burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, as of when

    def acquire(self, key: str) -> int:
        """Count one; 0, or the whole seconds after which the next one is allowed."""
        if not self._per_s:
            return 0
        left = self._left(key)
        allowed = left >= 1.0
        self._buckets[key] = (left - 1.0 if allowed else left, self._clock())
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MAX_KEYS:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1.0 - left) / self._per_s))

    def _left(self, key: str) -> float:
        left, then = self._buckets.get(key, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - then) * self._per_s)
