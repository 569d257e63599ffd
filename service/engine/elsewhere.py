"""What is known elsewhere of commands that run, such as why a cluster lets one wait.

It is asked only when somebody looks at such a job, once a Kind for all of them, and the answer
serves for a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from service.engine.tasks import OwnedTasks
from service.jobs.record import JobRecord
from service.jobs.states import State
from service.kinds import KINDS, CannotRun, Kind, UnderWay
from service.settings import Settings

# Seconds for which an answer serves.
_FRESH_S: Final = 1.0
# Seconds that a view waits for one; without it, it says that nothing is known.
_TIMEOUT_S: Final = 2.0

_log = structlog.get_logger("jobrunner.engine")


class _Asked(msgspec.Struct):
    known: UnderWay = msgspec.field(default_factory=dict)
    at: float = float("-inf")
    asking: asyncio.Task[None] | None = None


class Elsewhere:
    """One per worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks = OwnedTasks()
        self._asked = {name: _Asked() for name, kind in KINDS.items() if kind.told is not None}
        # How the spec of a job tells, undecoded, that it has such a command.
        self._marks = {name: f'"Kind":"{name}"'.encode() for name in self._asked}

    async def of(self, records: Iterable[JobRecord]) -> UnderWay:
        """What can be told now of the commands of these jobs."""
        running = [record.spec for record in records if record.state is State.RUNNING]
        wanted = [n for n, mark in self._marks.items() if any(mark in spec for spec in running)]
        known: dict[tuple[str, int], object] = {}
        for name in wanted:
            known |= await self._ask(KINDS[name], self._asked[name])
        return known  # type: ignore[return-value]  # a union of such

    async def _ask(self, kind: Kind, asked: _Asked) -> UnderWay:
        if asked.asking is None and time.monotonic() - asked.at > _FRESH_S:
            asked.asking = self._tasks.begin(self._answer(kind, asked), name="elsewhere")
        if asked.asking is not None:
            await asyncio.wait([asked.asking], timeout=_TIMEOUT_S)
        return asked.known

    async def _answer(self, kind: Kind, asked: _Asked) -> None:
        known: UnderWay = {}
        try:
            known = await asyncio.to_thread(kind.under_way, self._settings)
        except CannotRun as exc:
            _log.debug("elsewhere_unknown", kind=kind.name, why=str(exc))
        finally:
            asked.known, asked.at, asked.asking = known, time.monotonic(), None
