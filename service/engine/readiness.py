"""Whether a job would be taken now: each thing that it needs, looked at by itself.

Anybody may ask, and as often as they like: asking changes nothing on the disk, and what costs more
than a look at a number is remembered for a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from service.errors import JobrunnerError, RecordsLocked
from service.host.heartbeats import SILENT_S
from service.store import Store

# Seconds for which an answer about the records holds: it takes their lock for a moment.
_FRESH_S: Final = 1.0
# The same once somebody else had the lock, and seconds after which that counts: most have it for a
# moment, a checkpoint of our own included.
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
        """What is wrong, a sentence; at most a second old."""
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
) -> dict[str, str | None]:
    """By name, what is wrong: a sentence, or None. `supervisor`: what is wrong with that.
    `main_silent_s`: since the main process was seen to live. `unstored`: why events couldn't be
    stored, which is tried again and again. `shortage`: of room on the disk. `descriptors`: why the
    supervisor has just refused a job.
    """
    is_silent = main_silent_s > SILENT_S
    return {
        "supervisor": supervisor,
        "main": f"The main process is silent for {main_silent_s:.0f} s." if is_silent else None,
        "room": shortage,
        "records": unstored or records.fault(),
        "descriptors": descriptors,
    }
