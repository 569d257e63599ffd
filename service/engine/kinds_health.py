"""Which Kinds of command could run now: asked for on demand, remembered for some seconds."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from service.engine.tasks import OwnedTasks
from service.kinds import KINDS
from service.settings import Settings

# Seconds for which an answer holds.
_FRESH_S: Final = 5.0
# Seconds that a caller waits for a new answer: a load balancer is told what was known.
_PATIENCE_S: Final = 1.0
_UNKNOWN: Final = {name: {"Usable": None, "Error": None} for name in KINDS}


class KindsHealth:
    """One per worker. A Kind that can't run makes no service unready: its commands have an outcome
    that says so, and all others run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, Any] = dict(_UNKNOWN)
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks()

    async def view(self) -> dict[str, Any]:
        """For each Kind whether it is `Usable` (None: not known yet), and the `Error` if not."""
        if self._asking is None and time.monotonic() - self._asked_at > _FRESH_S:
            self._asking = self._tasks.begin(self._ask(), name="kinds_health")
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=_PATIENCE_S)
        return self._known

    async def _ask(self) -> None:
        known: dict[str, Any] = dict(_UNKNOWN)
        try:
            for name, kind in KINDS.items():
                fault = await asyncio.to_thread(kind.fault, self._settings)
                known[name] = {"Usable": fault is None, "Error": fault}
        finally:
            # One that can't be asked, which the log tells, is not known: no old answer stands.
            self._known = known
            self._asked_at = time.monotonic()
            self._asking = None
