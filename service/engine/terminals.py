"""The terminals of jobs, whichever worker drives the job: their size, and whether a job waits for
what is typed.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from service.engine.driver import Driver
from service.engine.session import KeptSession
from service.errors import JobNotRunning, NoTerminal, Unavailable, UnknownJob
from service.jobs.record import JobRecord
from service.jobs.states import LIVE
from service.link.capabilities import TERMINAL
from service.link.session import ConnectionLost, RequestRejected
from service.store import Store, readable

# Seconds that a view waits: the supervisor replies within one.
_ASKED_S: Final = 2.0

_log = structlog.get_logger("jobrunner.engine")


class Terminals:
    """Those of the jobs of all workers."""

    def __init__(self, store: Store, session: KeptSession, driver: Driver) -> None:
        self._store = store
        self._session = session
        self._driver = driver

    async def resize(self, job_id: str, rows: int, cols: int) -> None:
        """See `Interaction.resize`."""
        self._driver.settle()
        self._check(job_id)
        # A repeat changes nothing: the terminal has that size already.
        reply = await self._session.request(
            {"type": "resize", "job": job_id, "rows": rows, "cols": cols}
        )
        if not reply["ok"]:
            self._check(job_id)
            if reply["why"] == "ended":
                raise _is_over(job_id, "ending")
            raise Unavailable(f"The job {job_id} is being recovered.")

    async def waits_for_input(self, job_id: str) -> bool | None:
        """See `Interaction.waits_for_input`."""
        try:
            async with asyncio.timeout(_ASKED_S):
                session = await self._session.current()
                if TERMINAL not in self._session.hello["capabilities"]:
                    return None
                reply = await session.request({"type": "waits_for_input", "job": job_id})
        except (Unavailable, ConnectionLost, RequestRejected, TimeoutError) as exc:
            _log.debug("waiting_unknown", why=repr(exc))
            return None
        return reply.get("waits")

    def check_has(self, job_id: str) -> None:
        """Raises: UnknownJob, NoTerminal, Unavailable."""
        self._record(job_id)

    def _record(self, job_id: str) -> JobRecord:
        if (record := self._store.get(job_id)) is None:
            raise UnknownJob(job_id)
        if readable(record)[1].tty is None:
            raise NoTerminal(job_id)
        return record

    def _check(self, job_id: str) -> None:
        if (record := self._record(job_id)).state not in LIVE:
            raise _is_over(job_id, record.state.value)


def _is_over(job_id: str, state: str) -> JobNotRunning:
    return JobNotRunning(f"The job {job_id} is {state}: it has no terminal any more.")
