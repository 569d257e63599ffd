"""Which Kinds of command can run now: checked on demand, cached for some seconds."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from service.engine.tasks import OwnedTasks
from service.kinds import KINDS
from service.settings import Settings

# Seconds for which a result is cached.
_FRESH_S: Final = 5.0
# Seconds that a caller waits for a new result; then it gets the cached one.
_TIMEOUT_S: Final = 1.0
_UNKNOWN: Final = {name: {"Usable": None, "Error": None} for name in KINDS}


class KindsHealth:
    """One per worker. A Kind that can't run doesn't make the service unready: the outcome of its
    commands says so, and all others run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, Any] = dict(_UNKNOWN)
        self._checked_at = float("-inf")
        self._checking: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks()

    async def view(self) -> dict[str, Any]:
        """For each Kind whether it is `Usable` (None: not known yet), and the `Error` if not."""
        if self._checking is None and time.monotonic() - self._checked_at > _FRESH_S:
            self._checking = self._tasks.begin(self._check(), name="kinds_health")
        if self._checking is not None:
            await asyncio.wait([self._checking], timeout=_TIMEOUT_S)
        return self._known

    async def _check(self) -> None:
        known: dict[str, Any] = dict(_UNKNOWN)
        try:
            for name, kind in KINDS.items():
                fault = await asyncio.to_thread(kind.fault, self._settings)
                known[name] = {"Usable": fault is None, "Error": fault}
        finally:
            # A check that raised, which is logged, leaves its Kind unknown: no old result stays.
            self._known = known
            self._checked_at = time.monotonic()
            self._checking = None
