"""The records of jobs: stored, changed on the revision that they were read at, read.

A call is one transaction unless it stands in `transaction()`. What must be stored on a full disk,
all but a submission, is tried again with what the reserve gives up.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from service.jobs.record import JobRecord, Usage
from service.jobs.states import JOB_STATES, LIVE, State
from service.store.changes import NEXT, ChangedJobs
from service.store.database import Database
from service.store.finished import FinishedJobs
from service.store.keys import IdempotencyKeys
from service.store.kills import KillRequests
from service.store.lists import Lists
from service.store.rows import (
    JOB_STATES_SQL,
    LIVE_SQL,
    NO_STATE_SQL,
    SELECT,
    as_text,
    id_of,
    record_of,
    state_of,
)
from service.store.searches import Searches


class DuplicateKey(Exception):
    """Another job has that idempotency key, or had it and was cleaned since."""


class Overtaken(Exception):
    """Another process has stored a change of the job since it was read."""


class Store(Database):
    """The records of one state directory."""

    def __init__(self, path: Path) -> None:
        """Raises: StoreError, with a sentence for the operator."""
        super().__init__(path)
        self.lists = Lists(self)
        self.searches = Searches(path, self.lists)
        self.kills = KillRequests(self)
        self.finished = FinishedJobs(self)
        self.keys = IdempotencyKeys(self)
        self.changes = ChangedJobs(self)

    def close(self) -> None:
        self.searches.close()
        super().close()

    def insert(
        self,
        record: JobRecord,
        *,
        key: str | None = None,
        key_hash: bytes | None = None,
        kept_since: int | None = None,
    ) -> JobRecord:
        """Store a new job; the record comes back with its `seq`. `kept_since`: see
        `IdempotencyKeys.find`.

        Raises: DuplicateKey, InsufficientStorage, Unavailable.
        """
        with self.transaction():
            if key is not None and self.keys.is_kept(key, record.principal, since=kept_since):
                raise DuplicateKey(key)
            try:
                cursor = self._db.execute(
                    "INSERT INTO jobs (id, state, name, created_at, dispatched, output_complete,"  # noqa: S608 - constants
                    " idempotency_key, idempotency_hash, labels, principal, max_running, commands,"
                    " changed)"
                    f" VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, {NEXT})",
                    (
                        record.id,
                        record.state.value,
                        record.name,
                        record.created_at,
                        record.dispatched,
                        key,
                        key_hash,
                        as_text(record.labels) if record.labels else None,
                        record.principal,
                        record.max_running,
                        as_text(record.commands),
                    ),
                )
            except sqlite3.IntegrityError as exc:
                raise DuplicateKey(key) from exc
            seq = cursor.lastrowid or 0
            self._db.execute("INSERT INTO specs VALUES (?, ?)", (seq, record.spec.decode()))
            if record.labels:
                rows = [(key, value, seq) for key, value in record.labels.items()]
                self._db.executemany("INSERT INTO labels VALUES (?, ?, ?)", rows)
        self.checkpoints.committed(len(record.spec))
        return replace(record, seq=seq)

    def update(self, record: JobRecord, *, before: State = State.RUNNING) -> State | None:
        """Store what changed, as the next revision; returns the state that the job was in. None,
        and nothing changes, when the stored job is finished already.

        Requests to kill that were recorded meanwhile are kept, unless `record` has a receipt.
        `before` is the state to expect: any other one costs more.

        Raises: Overtaken, when the stored revision isn't the one that `record` was made of;
            InsufficientStorage, Unavailable.
        """
        return self.spending_reserve(partial(self._update_or_see, record, before))

    def _update_or_see(self, record: JobRecord, before: State) -> State | None:
        with self.writing():
            if self._update(record, before):
                if not self._db.in_transaction:
                    self.checkpoints.committed()
                return before
        with self.transaction():
            was = self._state_of(record.seq)
            if was not in LIVE:
                return None
            if self._update(record, was):
                return was
            raise Overtaken(record.id)

    def _state_of(self, seq: int) -> State | None:
        row = self._db.execute("SELECT state FROM jobs WHERE seq = ?", (seq,)).fetchone()
        return state_of(row[0]) if row else None

    def _update(self, record: JobRecord, before: State) -> bool:
        kill = as_text(record.kill) if record.kill else None
        usage = record.usage if record.finished_at is not None else Usage()
        cursor = self._db.execute(
            f"UPDATE jobs SET changed = {NEXT}, state = ?, reason = ?, exit_code = ?, signal = ?,"  # noqa: S608 - constants
            " error = ?, started_at = ?, finished_at = ?, dispatched = ?, output_bytes = ?,"
            " output_complete = ?, cpu_us = ?, memory_bytes = ?,"
            " kill = coalesce(?, kill, ?), commands = ?,"
            " revision = revision + 1 WHERE seq = ? AND state = ? AND revision = ?",
            (
                record.state.value,
                record.reason.value if record.reason else None,
                record.exit_code,
                record.signal,
                record.error,
                record.started_at,
                record.finished_at,
                record.dispatched,
                record.output_bytes,
                record.output_complete,
                int((usage.cpu_s or 0) * 1e6),
                usage.peak_bytes or 0,
                # Requests may have come meanwhile; a receipt is of all of them.
                kill if record.kill and record.kill.found is not None else None,
                kill,
                as_text(record.commands),
                record.seq,
                before.value,
                record.revision,
            ),
        )
        return cursor.rowcount == 1

    def set_priority(self, job_id: str, priority: int, changes: int) -> None:
        """Store the priority of a pending job, unless a later change of it is stored: `changes` is
        how often it was changed, with this. Raises: InsufficientStorage, Unavailable.
        """
        sql = (
            f"UPDATE jobs SET changed = {NEXT}, priority = ?, priority_changes = ?"  # noqa: S608 - constants
            " WHERE id = ? AND priority_changes < ?"
        )
        values = (priority, changes, job_id, changes)
        self.atomically(lambda: self._db.execute(sql, values))

    def end_damaged(self, record: JobRecord) -> bool:
        """Store the end of a live job whose row can't be read; False, and nothing changes, when it
        is finished already. The row becomes readable, except for the spec, which a newer release
        may be able to read. Raises: InsufficientStorage, Unavailable.
        """
        return self.atomically(partial(self._end_damaged, record))

    def _end_damaged(self, record: JobRecord) -> bool:
        cursor = self._db.execute(
            f"UPDATE jobs SET changed = {NEXT}, id = ?, state = ?, name = ?, reason = ?,"  # noqa: S608 - constants
            " exit_code = ?, signal = ?, error = ?, created_at = ?, started_at = ?,"
            " finished_at = ?, dispatched = ?, output_bytes = ?, output_complete = ?, labels = ?,"
            " principal = ?, max_running = ?, kill = ?, commands = ?, disk_bytes = NULL,"
            " revision = ?"
            f" WHERE seq = ? AND (state NOT IN ({JOB_STATES_SQL}) OR state IN ({LIVE_SQL}))",
            (
                record.id,
                record.state.value,
                record.name,
                record.reason.value if record.reason else None,
                record.exit_code,
                record.signal,
                record.error,
                record.created_at,
                record.started_at,
                record.finished_at,
                record.dispatched,
                record.output_bytes,
                record.output_complete,
                as_text(record.labels) if record.labels else None,
                record.principal,
                record.max_running,
                as_text(record.kill) if record.kill else None,
                as_text(record.commands),
                record.revision + 1,
                record.seq,
            ),
        )
        return cursor.rowcount == 1

    def get(self, job_id: str) -> JobRecord | None:
        rows = self.rows(f"{SELECT} WHERE id = ?", (job_id,))
        return record_of(rows[0]) if rows else None

    def get_numbered(self, seq: int) -> JobRecord | None:
        rows = self.rows(f"{SELECT} WHERE seq = ?", (seq,))
        return record_of(rows[0]) if rows else None

    def state_of(self, job_id: str) -> State | None:
        row = self.row("SELECT state FROM jobs WHERE id = ?", (job_id,))
        return state_of(row[0]) if row else None

    def output_end_of(self, job_id: str) -> int:
        """The bytes of output in the record of the job; 0 as well while none is known."""
        row = self.row("SELECT output_bytes FROM jobs WHERE id = ?", (job_id,))
        return (row and row[0]) or 0

    def unfinished(self) -> list[tuple[int, str]]:
        """Every live job, oldest first, by number and ID; and those whose state can't be read."""
        rows = self.rows(
            f"SELECT seq, id FROM jobs WHERE state IN ({LIVE_SQL}) OR {NO_STATE_SQL}"  # noqa: S608 - constants
            " ORDER BY seq"
        )
        return [(row[0], id_of(row[1])) for row in rows]

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state; the cost grows with the live ones only."""
        row = self.row(
            "SELECT (SELECT count(*) FROM jobs WHERE state = 'pending'),"
            " (SELECT count(*) FROM jobs WHERE state = 'running'), jobs - killed, killed"
            " FROM finished"
        )
        return dict(zip(JOB_STATES, row, strict=True))
