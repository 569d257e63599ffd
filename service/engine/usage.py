"""What jobs use now. The supervisor measures when it is asked, and nothing is asked twice: a
supervisor that doesn't answer soon means that nobody knows, and is no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from service.engine.abandoned import AbandonedThreads
from service.engine.kept import KeptProcesses
from service.engine.session import KeptSession
from service.errors import Unavailable
from service.host.process_list import ProcessNow, list_processes
from service.jobs.record import JobRecord, LiveUsage
from service.jobs.states import LIVE, State
from service.link.capabilities import LIVE_USAGE
from service.link.session import ConnectionLost, RequestRejected

# Seconds that a view waits: the supervisor replies within one.
_ASKED_S: Final = 2.0
# Lists of processes that are made at a time; each takes some milliseconds.
_MAX_THREADS: Final = 8

_log = structlog.get_logger("jobrunner.engine")


class UsageOfJobs:
    """That of the jobs of all workers."""

    def __init__(self, session: KeptSession, kept: KeptProcesses) -> None:
        self._session = session
        self._kept = kept
        self._threads = AbandonedThreads(_MAX_THREADS)

    async def of(self, records: Iterable[JobRecord]) -> dict[str, LiveUsage]:
        """What those of them that run use now, by ID. One that is missing can't be told of."""
        running = [record.id for record in records if record.state is State.RUNNING]
        return await self.measure(running)

    async def measure(self, job_ids: Sequence[str]) -> dict[str, LiveUsage]:
        """By ID, for those of which it is known now."""
        if not job_ids:
            return {}
        try:
            async with asyncio.timeout(_ASKED_S):
                session = await self._session.current()
                if not self._can_tell:
                    return {}
                reply = await session.request({"type": "measure_usage", "jobs": job_ids})
        except (Unavailable, ConnectionLost, RequestRejected, TimeoutError) as exc:
            _log.debug("usage_unknown", why=repr(exc))
            return {}
        return {
            job_id: LiveUsage(
                cpu_s=usage["cpu_s"],
                peak_bytes=usage["peak_bytes"],
                memory_bytes=usage["memory_bytes"],
                processes=usage["processes"],
            )
            for job_id, usage in reply["usage"].items()
        }

    async def processes(self, record: JobRecord) -> list[ProcessNow] | None:
        """Those that the job has now, the one that has used the processor most first; None: nobody
        knows.
        """
        if record.state not in LIVE and not self._kept.has(record.id):
            return []
        try:
            async with asyncio.timeout(_ASKED_S):
                session = await self._session.current()
                if not self._can_tell:
                    return None
                reply = await session.request({"type": "list_processes", "job": record.id})
                # A command line is read out of the memory of its process, which can keep the
                # reader waiting.
                found = reply.get("processes", ())
                return await self._threads.run(lambda: list_processes(found))
        except (Unavailable, ConnectionLost, RequestRejected, TimeoutError) as exc:
            _log.debug("processes_unknown", why=repr(exc))
            return None

    @property
    def _can_tell(self) -> bool:
        return LIVE_USAGE in self._session.hello["capabilities"]
