"""Kills that were requested and aren't carried out yet."""

from __future__ import annotations

from functools import partial

from service.jobs.lifecycle import State
from service.jobs.record import JobRecord, Kill
from service.store.database import Database
from service.store.rows import LIVE_SQL, SELECT, as_text, record_of, state_of


class KillRequests:
    """The first request to kill a job stands in its record until the job is finished."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job_id: str, kill: Kill) -> State | None:
        """Record the first request to kill a live job; the job's state, None when unknown.

        Raises: InsufficientStorage, Unavailable.
        """
        return self._database.atomically(partial(self._add, job_id, kill))

    def _add(self, job_id: str, kill: Kill) -> State | None:
        db = self._database.connection
        db.execute(
            "UPDATE jobs SET kill = ?"  # noqa: S608 - constants
            f" WHERE id = ? AND kill IS NULL AND state IN ({LIVE_SQL})",
            (as_text(kill), job_id),
        )
        row = db.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return state_of(row[0]) if row else None

    def pending(self) -> list[tuple[str, Kill]]:
        """Live jobs with a request to kill them."""
        rows = self._database.rows(f"{SELECT} WHERE state IN ({LIVE_SQL}) AND kill IS NOT NULL")
        records: list[JobRecord] = [record_of(row) for row in rows]
        return [(record.id, record.kill) for record in records if record.kill is not None]
