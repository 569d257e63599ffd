"""The terminals of jobs: their size, whichever worker drives the job."""

from __future__ import annotations

from service.engine.driver import Driver
from service.engine.session import KeptSession
from service.errors import JobNotRunning, NoTerminal, Unavailable, UnknownJob
from service.jobs.record import JobRecord
from service.jobs.states import LIVE
from service.store import Store, readable


class Terminals:
    """Those of the jobs of all workers."""

    def __init__(self, store: Store, session: KeptSession, driver: Driver) -> None:
        self._store = store
        self._session = session
        self._driver = driver

    async def resize(self, job_id: str, rows: int, cols: int) -> None:
        """See `Engine.resize`."""
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
