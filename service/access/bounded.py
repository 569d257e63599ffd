"""Audit lines that a caller can cause in a loop: bounded per caller and in all. What is left out is
counted in one line a minute.

What changes a job (`submit`, `clean`, the kill of a live job) is always written: it is bounded by
the jobs. Per worker, with lines of 200 bytes, refusals take at most 35 MB a day, and so does what
one principal reads.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from service.access.audit import AuditLog, Entry
from service.access.rate_limiter import RateLimiter
from service.jobs.times import rfc3339

# Refusals of one address that are written at once, and a second later on.
_REFUSALS_BURST: Final = 30
_REFUSALS_PER_S: Final = 1 / 6
# The same for the refusals of all addresses together: addresses can be many.
_ALL_BURST: Final = 300
_ALL_PER_S: Final = 2.0
# The same for the lines of one principal, which has a token that can be revoked.
_LINES_BURST: Final = 600
_LINES_PER_S: Final = 2.0
# Seconds until what was left out is written.
_MINUTE_S: Final = 60.0
# Callers that are counted by name, and those of them that the line names.
_MAX_CALLERS: Final = 1000
_MAX_NAMED: Final = 10
_OTHERS: Final = "others"


class Timer(Protocol):
    def cancel(self) -> None: ...


class BoundedAuditLog:
    """Before the audit log of a worker. `call_later` is that of its event loop."""

    def __init__(
        self,
        log: AuditLog,
        call_later: Callable[[float, Callable[[], None]], Timer],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._call_later = call_later
        self._refusals = RateLimiter(_REFUSALS_PER_S, _REFUSALS_BURST, clock=clock)
        self._all_refusals = RateLimiter(_ALL_PER_S, _ALL_BURST, clock=clock)
        self._lines = RateLimiter(_LINES_PER_S, _LINES_BURST, clock=clock)
        self._codes: Counter[str] = Counter()
        self._callers: Counter[str] = Counter()
        self._since = 0
        self._timer: Timer | None = None

    def refuse(self, network: str, *, code: str, **fields: Any) -> None:
        """Write that a request from `network` was refused, unless that would be too much."""
        if self._refusals.acquire(network) or self._all_refusals.acquire(""):
            self._omit(code, network)
        else:
            self._log.add("refuse", code=code, **fields)

    def add(self, caller: str, action: str, **fields: Any) -> None:
        """Write what `caller` did, unless that would be too much."""
        if self._lines.acquire(caller):
            self._omit(action, caller)
        else:
            self._log.add(action, **fields)

    def always(self, action: str, **fields: Any) -> None:
        """Write what changed a job."""
        self._log.add(action, **fields)

    def flush(self) -> None:
        """Write now what was left out; nothing when nothing was."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._log.write(
            Entry(
                at=rfc3339(time.time_ns()),
                action="omit",
                principal=None,
                omitted=self._codes.total(),
                since=rfc3339(self._since),
                codes=dict(self._codes),
                callers=dict(self._callers.most_common(_MAX_NAMED)),
            )
        )
        self._codes.clear()
        self._callers.clear()

    def _omit(self, code: str, caller: str) -> None:
        if self._timer is None:
            self._since = time.time_ns()
            self._timer = self._call_later(_MINUTE_S, self.flush)
        self._codes[code] += 1
        is_named = caller in self._callers or len(self._callers) < _MAX_CALLERS
        self._callers[caller if is_named else _OTHERS] += 1
