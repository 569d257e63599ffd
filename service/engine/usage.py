"""What jobs use now. The supervisor measures when it is asked, and nothing is asked twice: a
supervisor that doesn't answer soon means that nobody knows, and is no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from service.engine.abandoned import AbandonedThreads
from service.engine.session import KeptSession
from service.errors import Unavailable
from service.host.process_list import ProcessNow, list_processes
from service.jobs.record import LiveUsage
from service.link.capabilities import LIVE_USAGE
from service.link.session import ConnectionLost, RequestRejected

# Seconds that a view waits: the supervisor replies within one.
_ASKED_S: Final = 2.0
# Lists of processes that are made at a time; each takes some milliseconds.
_MAX_THREADS: Final = 8

_log = structlog.get_logger("jobrunner.engine")


class UsageOfJobs:
    """That of the jobs of all workers."""

    def __init__(self, session: KeptSession) -> None:
        self._session = session
        self._threads = AbandonedThreads(_MAX_THREADS)

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

    async def processes(self, job_id: str) -> list[ProcessNow] | None:
        """Those of a job, the one that has used the processor most first; None: nobody knows."""
        try:
            async with asyncio.timeout(_ASKED_S):
                session = await self._session.current()
                if not self._can_tell:
                    return None
                reply = await session.request({"type": "list_processes", "job": job_id})
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
