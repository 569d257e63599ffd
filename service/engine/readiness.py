"""Readiness: whether a job would be accepted now, one check for each thing that it needs.

Anybody may call it at any rate: a check writes nothing to disk, and one that costs more than
reading a number is cached for a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from service.errors import JobrunnerError, RecordsLocked
from service.host.heartbeats import SILENT_S
from service.store import Store

# Seconds that the check of the records is cached: it takes their lock for a moment.
_FRESH_S: Final = 1.0
# The same once another process had the lock, and seconds after which that counts: most hold it for
# a moment, as do our own checkpoints.
_LOCKED_FRESH_S: Final = 0.1
_LOCKED_S: Final = 1.0


class RecordsCheck:
    """Whether a record could be written."""

    def __init__(self, store: Store, *, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now
        self._ask_at = float("-inf")
        self._locked_since: float | None = None
        self._fault: str | None = None

    def fault(self) -> str | None:
        """The failure message, or None; at most a second old."""
        if self._now() >= self._ask_at:
            self._ask()
        return self._fault

    def _ask(self) -> None:
        now = self._now()
        self._ask_at = now + _FRESH_S
        locked_since, self._locked_since, self._fault = self._locked_since, None, None
        try:
            self._store.check()
        except RecordsLocked as exc:
            self._ask_at = now + _LOCKED_FRESH_S
            self._locked_since = now if locked_since is None else locked_since
            self._fault = exc.detail if now - self._locked_since >= _LOCKED_S else None
        except JobrunnerError as exc:
            self._fault = exc.detail


def readiness(
    records: RecordsCheck,
    *,
    supervisor: str | None,
    main_silent_s: float = 0.0,
    unstored: str | None,
    shortage: str | None,
    descriptors: str | None,
    draining_since: int | None = None,
) -> dict[str, str | None]:
    """Failure messages by the check's name; None: it passes. `supervisor`, `shortage` (of free
    space) and `descriptors` are those of their checks. `main_silent_s`: seconds since the main
    process's last heartbeat. `unstored`: why events can't be stored, which is retried.
    `draining_since`: in nanoseconds since the epoch.
    """
    is_silent = main_silent_s > SILENT_S
    return {
        "supervisor": supervisor,
        "main": f"The main process is silent for {main_silent_s:.0f} s." if is_silent else None,
        "room": shortage,
        "records": unstored or records.fault(),
        "descriptors": descriptors,
        "drain": draining(draining_since) if draining_since is not None else None,
    }


def draining(since: int) -> str:
    """What a drain means, for whoever asks why no job is taken."""
    at = datetime.fromtimestamp(since // 1_000_000_000, UTC)
    return (
        f"The service drains since {at:%Y-%m-%dT%H:%M:%SZ}: no new job is taken, what runs"
        " finishes, what is pending waits. `jobrunner resume` ends that."
    )
