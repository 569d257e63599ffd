"""The changes of jobs, numbered in the order of their commits.

Rules
1. Each statement that changes what a caller sees of a job gives it the `NEXT` number. SQLite has
   one writer at a time, so numbers are given in the order of the commits: whoever has read a number
   finds no smaller one later that it hasn't read.
2. A job has the number of its last change alone. So a reader that was away gets each job's latest
   state once, and no history is kept.
3. No number is given twice: a cleaned job leaves a tombstone with a number of its own, and the last
   tombstone is never deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from service.jobs.record import JobRecord
from service.jobs.states import State
from service.jobs.visibility import All, Nothing, Only, Visibility
from service.store.database import Database
from service.store.rows import COLUMNS, id_of, record_of
from service.store.selection import Condition, Selection, finished_sources, live_source

# The number of the change that the statement around it makes: two look-ups at the end of an index.
NEXT: Final = (
    "(SELECT 1 + max(coalesce((SELECT max(changed) FROM jobs), 0),"
    " coalesce((SELECT max(changed) FROM tombstones), 0)))"
)
_LAST: Final = f"SELECT {NEXT} - 1"
# Changes that are looked at in one step, in the index alone: about a millisecond.
_SCANNED: Final = 1000
# Bytes of records after which a step ends: a script may have a megabyte. So many are read at once.
_RECORD_BYTES: Final = 1 << 20
_READ_AT_ONCE: Final = 10
_NUMBERS: Final = """
SELECT changed, principal, seq FROM (
    SELECT * FROM (SELECT changed, principal, seq FROM jobs INDEXED BY jobs_by_change
        WHERE changed > ? ORDER BY changed LIMIT ?)
    UNION ALL
    SELECT * FROM (SELECT changed, principal, NULL AS seq FROM tombstones
        WHERE changed > ? ORDER BY changed LIMIT ?)
) ORDER BY changed LIMIT ?
"""
_RECORDS: Final = (
    f"SELECT changed, {COLUMNS}, spec FROM jobs LEFT JOIN specs USING (seq)"  # noqa: S608 - constants
    " WHERE seq IN (SELECT value FROM json_each(?))"
)
_TOMBSTONES: Final = (
    "SELECT changed, id, principal FROM tombstones"
    " WHERE changed IN (SELECT value FROM json_each(?))"
)
_NO_NUMBERS: Final = json.dumps([])


class Change(msgspec.Struct, frozen=True):
    """The last change of a job. `record` is None for one that was cleaned."""

    seq: int
    id: str
    principal: str | None
    record: JobRecord | None


class Changes(msgspec.Struct, frozen=True):
    """Changes in their order: all that are wanted up to the number `until`. `is_last`: at the time
    of reading there was none behind it.
    """

    found: list[Change]
    until: int
    is_last: bool


class ChangedJobs:
    """The changes in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self) -> int:
        """The number of the last change; 0 before the first. Raises: Unavailable."""
        return int(self._database.row(_LAST)[0])

    def origin(self) -> int:
        """A number below 2**32 that other records hardly have. Raises: Unavailable."""
        return int(self._database.row("SELECT number FROM origin")[0])

    def behind(self, after: int, visible: Visibility, *, limit: int) -> Changes:
        """The first changes behind `after` that are visible, at most `limit`; fewer as well when
        many of others are passed over, or when their records are large. Raises: Unavailable.
        """
        with self._database.reading():
            last = self.last()
            numbers = self._database.rows(_NUMBERS, (after, _SCANNED, after, _SCANNED, _SCANNED))
            seen = [row for row in numbers if sees(visible, row[1])][:limit]
            found = self._read_some(seen)
            if len(found) == limit or len(found) < len(seen):
                until = found[-1].seq
            else:
                until = numbers[-1][0] if len(numbers) == _SCANNED else last
            return Changes(found, max(until, after), is_last=until >= last)

    def _read_some(self, numbers: list[tuple[int, str | None, int | None]]) -> list[Change]:
        """The first of these, as many as are read without holding others up."""
        found: list[Change] = []
        size = 0
        while len(found) < len(numbers) and size < _RECORD_BYTES:
            more = self._read(numbers[len(found) : len(found) + _READ_AT_ONCE])
            size += sum(len(each.record.spec) for each in more if each.record is not None)
            found += more
        return found

    def _read(self, numbers: list[tuple[int, str | None, int | None]]) -> list[Change]:
        jobs = json.dumps([seq for _, _, seq in numbers if seq is not None])
        graves = json.dumps([number for number, _, seq in numbers if seq is None])
        rows = self._database.rows(_RECORDS, (jobs,)) if jobs != _NO_NUMBERS else []
        found = {row[0]: _change(row[0], record_of(row[1:])) for row in rows}
        rows = self._database.rows(_TOMBSTONES, (graves,)) if graves != _NO_NUMBERS else []
        found |= {row[0]: Change(row[0], id_of(row[1]), row[2], None) for row in rows}
        return [found[number] for number, _, _ in numbers]

    def of_jobs(self, numbers: Iterable[int]) -> dict[int, int]:
        """The number of the last change of each of these jobs, which are told by their own numbers;
        a job that doesn't exist is missing. Raises: Unavailable.
        """
        sql = "SELECT seq, changed FROM jobs WHERE seq IN (SELECT value FROM json_each(?))"
        return dict(self._database.rows(sql, (json.dumps(list(numbers)),)))

    def cleaned(self, numbers: Iterable[int], visible: Visibility, *, since: int) -> dict[int, str]:
        """The visible ones of these jobs that were cleaned behind the change `since`: their IDs, by
        their own numbers. Raises: Unavailable.
        """
        rows = self._database.rows(
            "SELECT job, id, principal FROM tombstones"
            " WHERE changed > ? AND job IN (SELECT value FROM json_each(?))",
            (since, json.dumps(list(numbers))),
        )
        return {job: id_of(job_id) for job, job_id, principal in rows if sees(visible, principal)}

    def begin(self, selection: Selection, visible: Visibility) -> tuple[int, int, list[int]]:
        """For somebody who begins now: the last change, the number of the last job, and the numbers
        of the running jobs of a selection. Raises: Unavailable.
        """
        running = replace(selection, states=selection.states & {State.RUNNING})
        source = live_source(running, visible)
        with self._database.reading():
            sql = f"SELECT jobs.seq FROM {source.sql} ORDER BY jobs.seq"  # noqa: S608 - values are bound
            numbers = [row[0] for row in self._database.rows(sql, source.values)]
            (last,) = self._database.row("SELECT coalesce(max(seq), 0) FROM jobs")
            return self.last(), last, numbers

    def finished_before(
        self,
        selection: Selection,
        visible: Visibility,
        *,
        change: int,
        after: int,
        last: int,
        limit: int,
    ) -> list[int]:
        """The numbers, above `after` and up to `last`, of finished jobs of a selection that haven't
        changed behind `change`; oldest first. Raises: Unavailable.
        """
        bounds = Condition("jobs.seq > ? AND jobs.seq <= ? AND changed <= ?", (after, last, change))
        found: list[int] = []
        for source in finished_sources(selection, visible, bounds):
            sql = f"SELECT jobs.seq FROM {source.sql} ORDER BY jobs.seq LIMIT ?"  # noqa: S608 - values are bound
            found += [row[0] for row in self._database.rows(sql, (*source.values, limit))]
        return sorted(found)[:limit]

    def forget(self, *, before: int, limit: int) -> int:
        """Delete at most `limit` tombstones of jobs that were cleaned earlier than `before`; how
        many. With nothing to delete, nothing is written.

        Raises: InsufficientStorage, Unavailable.
        """
        rows = self._database.rows(
            "SELECT changed FROM (SELECT changed, cleaned_at FROM tombstones"
            " WHERE changed < (SELECT max(changed) FROM tombstones) ORDER BY changed LIMIT ?)"
            " WHERE cleaned_at < ?",
            (limit, before),
        )
        if rows:
            sql = "DELETE FROM tombstones WHERE changed = ?"
            self._database.atomically(lambda: self._database.connection.executemany(sql, rows))
        return len(rows)


def sees(visible: Visibility, principal: str | None) -> bool:
    """Whether a job of `principal` is visible."""
    match visible:
        case All():
            return True
        case Only(own):
            return principal == own
        case Nothing():
            return False
        case _:
            assert_never(visible)


def _change(number: int, record: JobRecord) -> Change:
    return Change(number, record.id, record.principal, record)
