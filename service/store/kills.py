"""Kills that were requested and aren't carried out yet."""

from __future__ import annotations

from functools import partial

from service.jobs.record import JobRecord, Kill
from service.jobs.states import LIVE, State
from service.store.changes import NEXT
from service.store.database import Database
from service.store.rows import LIVE_SQL, SELECT, as_text, kill_of, record_of, state_of


class KillRequests:
    """The requests to kill a job stand in its record until it is finished; then the receipt."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job_id: str, kill: Kill) -> State | None:
        """Record a request to kill a live job; the job's state, None when unknown.

        Raises: InsufficientStorage, Unavailable.
        """
        return self._database.atomically(partial(self._add, job_id, kill))

    def _add(self, job_id: str, kill: Kill) -> State | None:
        db = self._database.connection
        row = db.execute("SELECT state, kill FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            return None
        state, before = state_of(row[0]), kill_of(row[1])
        if state in LIVE:
            if before is not None:
                kill = before.with_later(kill.as_later())
            self._write(job_id, kill)
        return state

    def add_late(self, job_id: str, kill: Kill) -> None:
        """Record a request to end what a finished job has kept; nothing happens to any other.

        Raises: InsufficientStorage, Unavailable.
        """
        self._database.atomically(partial(self._add_late, job_id, kill))

    def _add_late(self, job_id: str, kill: Kill) -> None:
        db = self._database.connection
        row = db.execute("SELECT state, kill FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None or state_of(row[0]) in LIVE:
            return
        if (before := kill_of(row[1])) is not None:
            kill = before.with_later(kill.as_later())
        self._write(job_id, kill)

    def carried_out(self, job_id: str, kill: Kill) -> None:
        """Store the receipt of the end of what a finished job had kept, if it has a record.

        Raises: InsufficientStorage, Unavailable.
        """
        self._database.atomically(partial(self._write, job_id, kill))

    def _write(self, job_id: str, kill: Kill) -> None:
        sql = f"UPDATE jobs SET changed = {NEXT}, kill = ? WHERE id = ?"  # noqa: S608 - constants
        self._database.connection.execute(sql, (as_text(kill), job_id))

    def pending(self) -> list[tuple[str, Kill]]:
        """Live jobs with a request to kill them."""
        rows = self._database.rows(f"{SELECT} WHERE state IN ({LIVE_SQL}) AND kill IS NOT NULL")
        records: list[JobRecord] = [record_of(row) for row in rows]
        return [(record.id, record.kill) for record in records if record.kill is not None]
