"""Idempotency keys: each belongs to a principal, and leads to the job that it was first sent with.

While the job exists its key is a column of the job. Once it is cleaned its key is a row of
`kept_keys`, with the time of the cleaning, so that a late repeat runs nothing twice.
"""

from __future__ import annotations

from service.store.database import Database


class IdempotencyKeys:
    """The keys of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self, key: str, principal: str | None = None, *, kept_since: int | None = None
    ) -> tuple[str, bytes] | None:
        """The ID and the hash of the job that `principal` submitted with `key`: one that exists, or
        that was cleaned at `kept_since` or later (None: only one that exists).

        Raises: InsufficientStorage, Unavailable.
        """
        row = self._database.row(
            "SELECT id, idempotency_hash FROM jobs"
            " WHERE idempotency_key = ? AND coalesce(principal, '') = ?",
            (key, principal or ""),
        )
        if row is None and kept_since is not None:
            row = self._kept(key, principal, kept_since)
        return (row[0], row[1]) if row else None

    def is_kept(self, key: str, principal: str | None, *, since: int | None) -> bool:
        """Whether a job of that key was cleaned at `since` or later. Within a transaction."""
        return since is not None and self._kept(key, principal, since) is not None

    def _kept(self, key: str, principal: str | None, since: int) -> tuple[str, bytes] | None:
        row: tuple[str, bytes] | None = self._database.row(
            "SELECT job, hash FROM kept_keys WHERE principal = ? AND key = ? AND cleaned_at >= ?",
            (principal or "", key, since),
        )
        return row

    def forget(self, *, before: int, limit: int) -> int:
        """Delete at most `limit` keys of jobs that were cleaned earlier than `before`, the oldest
        first; how many. With nothing to delete, nothing is written.

        Raises: InsufficientStorage, Unavailable.
        """
        rows = self._database.rows(
            "SELECT principal, key FROM kept_keys WHERE cleaned_at < ? ORDER BY cleaned_at LIMIT ?",
            (before, limit),
        )
        if rows:
            # Kept anew meanwhile, it isn't older than `before`.
            sql = "DELETE FROM kept_keys WHERE principal = ? AND key = ? AND cleaned_at < ?"
            values = [(*row, before) for row in rows]
            self._database.atomically(lambda: self._database.connection.executemany(sql, values))
        return len(rows)
