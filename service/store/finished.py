"""Finished jobs: what they take on the disk, which are the oldest, and cleaning them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import msgspec

from service.store.changes import NEXT
from service.store.database import Database
from service.store.rows import LIVE_SQL


class Finished(msgspec.Struct, frozen=True):
    """What retention needs to know of a finished job. `disk_bytes` is 0 until it is measured."""

    id: str
    finished_at: int
    disk_bytes: int


class Totals(msgspec.Struct, frozen=True):
    """All finished jobs together."""

    jobs: int
    disk_bytes: int


class Leftover(msgspec.Struct, frozen=True):
    """A file of a job that couldn't be removed: the first one, and why. `path` is relative to the
    job's directory, for people.
    """

    path: str
    why: str


class FinishedJobs:
    """The finished jobs of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def clean(
        self, job_id: str, *, at: int | None = None, keep_key_from: int | None = None
    ) -> bool:
        """Delete the record of a finished job, cleaned at that time (None: now). A tombstone stays,
        its ID in `cleaned` until its files are gone, and its idempotency key as cleaned at
        `keep_key_from` (None: not at all). False, and nothing changes, when there is none.

        Raises: InsufficientStorage, Unavailable.
        """
        at = time.time_ns() if at is None else at
        return self._database.atomically(partial(self._clean, job_id, at, keep_key_from))

    def _clean(self, job_id: str, at: int, keep_key_from: int | None) -> bool:
        db = self._database.connection
        if keep_key_from is not None:
            # One that is there already has expired: else this job wouldn't have been accepted.
            db.execute(
                "INSERT OR REPLACE INTO kept_keys"  # noqa: S608 - constants
                " SELECT coalesce(principal, ''), idempotency_key,"
                " coalesce(idempotency_hash, x''), id, ?"
                " FROM jobs WHERE id = ? AND idempotency_key IS NOT NULL"
                f" AND state NOT IN ({LIVE_SQL})",
                (keep_key_from, job_id),
            )
        db.execute(
            "INSERT INTO cleaned SELECT id FROM jobs"  # noqa: S608 - constants
            f" WHERE id = ? AND state NOT IN ({LIVE_SQL})",
            (job_id,),
        )
        db.execute(
            f"INSERT INTO tombstones SELECT {NEXT}, seq, id, principal, ? FROM jobs"  # noqa: S608 - constants
            f" WHERE id = ? AND state NOT IN ({LIVE_SQL})",
            (at, job_id),
        )
        db.execute("DELETE FROM leftovers WHERE id = ?", (job_id,))
        cursor = db.execute(
            f"DELETE FROM jobs WHERE id = ? AND state NOT IN ({LIVE_SQL})",  # noqa: S608 - constants
            (job_id,),
        )
        return cursor.rowcount == 1

    def cleaned(self) -> list[str]:
        """Jobs whose record is deleted and whose files may still exist."""
        return [row[0] for row in self._database.rows("SELECT id FROM cleaned")]

    def files_removed(self, job_id: str) -> None:
        """Raises: InsufficientStorage, Unavailable."""

        def forget() -> None:
            db = self._database.connection
            db.execute("DELETE FROM cleaned WHERE id = ?", (job_id,))
            db.execute("DELETE FROM leftovers WHERE id = ?", (job_id,))

        self._database.atomically(forget)

    def files_left(self, left: Mapping[str, Leftover], *, at: int) -> None:
        """Note of jobs that files of them couldn't be removed at that time. They keep their
        records, if they have them, and `oldest` passes them over.

        Raises: InsufficientStorage, Unavailable.
        """
        sql = "INSERT OR REPLACE INTO leftovers VALUES (?, ?, ?, ?)"
        values = [(job_id, found.path, found.why, at) for job_id, found in left.items()]
        self._database.atomically(lambda: self._database.connection.executemany(sql, values))

    def leftover(self, job_id: str) -> Leftover | None:
        """What couldn't be removed of this job; None: nothing, as far as anybody has tried."""
        row = self._database.row("SELECT path, why FROM leftovers WHERE id = ?", (job_id,))
        return Leftover(*row) if row else None

    def with_leftovers(self, limit: int) -> list[str]:
        """Jobs that keep their records as files of them couldn't be removed; those that were tried
        longest ago first.
        """
        sql = "SELECT id FROM leftovers WHERE id IN (SELECT id FROM jobs) ORDER BY tried_at LIMIT ?"
        return [row[0] for row in self._database.rows(sql, (limit,))]

    def count_with_leftovers(self) -> int:
        """All jobs of which files couldn't be removed, also those without a record."""
        (count,) = self._database.row("SELECT count(*) FROM leftovers") or (0,)
        return int(count)

    def oldest(self, limit: int) -> list[Finished]:
        """Finished jobs in the order of their ends, but for those with leftovers."""
        rows = self._database.rows(
            "SELECT id, finished_at, coalesce(disk_bytes, 0) FROM jobs"  # noqa: S608 - constants
            f" WHERE finished_at IS NOT NULL AND state NOT IN ({LIVE_SQL})"
            " AND id NOT IN (SELECT id FROM leftovers) ORDER BY finished_at, seq LIMIT ?",
            (limit,),
        )
        return [Finished(*row) for row in rows]

    def totals(self) -> Totals:
        """How many finished jobs there are and what they take; the cost doesn't grow with them."""
        return Totals(*self._database.row("SELECT jobs, disk_bytes FROM finished"))

    def unmeasured(self, limit: int) -> list[str]:
        """Finished jobs without a stored size on the disk."""
        rows = self._database.rows(
            "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND disk_bytes IS NULL"
            " ORDER BY seq LIMIT ?",
            (limit,),
        )
        return [row[0] for row in rows]

    def unmeasure(self, job_id: str) -> bool:
        """Forget the size of a finished job, as it has changed; False, and nothing changes, when
        the job isn't finished, or wasn't measured. Raises: InsufficientStorage, Unavailable.
        """
        # Files of live jobs change often: they wait for nobody who writes records.
        asked = (
            "SELECT 1 FROM jobs WHERE id = ? AND finished_at IS NOT NULL AND disk_bytes IS NOT NULL"
        )
        if not self._database.rows(asked, (job_id,)):
            return False
        sql = (
            "UPDATE jobs SET disk_bytes = NULL"
            " WHERE id = ? AND finished_at IS NOT NULL AND disk_bytes IS NOT NULL"
        )
        connection = self._database.connection
        return self._database.atomically(lambda: connection.execute(sql, (job_id,))).rowcount > 0

    def measured(self, sizes: Mapping[str, int]) -> None:
        """Store what finished jobs take on the disk; the first size of a job stays,
        unless `unmeasure` comes between.

        Raises: InsufficientStorage, Unavailable.
        """
        sql = (
            "UPDATE jobs SET disk_bytes = ?"
            " WHERE id = ? AND finished_at IS NOT NULL AND disk_bytes IS NULL"
        )
        values = [(size, job_id) for job_id, size in sizes.items()]
        self._database.atomically(lambda: self._database.connection.executemany(sql, values))
