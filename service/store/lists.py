"""Jobs as a caller sees them: pages of a list, and whether one job is visible."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, assert_never

from service.jobs.lifecycle import LIVE, State
from service.jobs.record import JobRecord
from service.jobs.visibility import All, Nothing, Only, Sight, Visibility
from service.store.database import Database
from service.store.rows import COLUMNS, id_of, record_of


@dataclass(frozen=True, slots=True)
class Query:
    """Which jobs a list shows, oldest first; `after` is the `seq` of the last one seen."""

    states: frozenset[State] = LIVE
    name: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    limit: int = 1000
    after: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the `after` of the next page, None on the last one."""

    ids: list[str] = field(default_factory=list)
    records: list[JobRecord] = field(default_factory=list)
    next: int | None = None


class Lists:
    """Reads for callers who may see a part of the jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, query: Query, visible: Visibility, *, full: bool = False) -> Page:
        """One page of the jobs that are `visible`; records only when `full`."""
        where, values = _where(query, visible)
        # Selected by the narrow rows of an index first: a join would sort all jobs, wide as they
        # are.
        sql = f"SELECT seq, id FROM jobs WHERE {where} ORDER BY seq LIMIT ?"  # noqa: S608 - values are bound
        if full:
            sql = (
                f"SELECT {COLUMNS}, spec FROM (SELECT seq FROM ({sql}))"  # noqa: S608 - the same
                " JOIN jobs USING (seq) LEFT JOIN specs USING (seq) ORDER BY seq"
            )
        rows = self._database.rows(sql, (*values, query.limit + 1))
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        return Page(
            ids=[id_of(row[1]) for row in rows],
            records=[record_of(row) for row in rows] if full else [],
            next=rows[-1][0] if more else None,
        )

    def sight(self, job_id: str, visible: Visibility) -> Sight:
        """What a caller who sees `visible` may know of that ID; SEEN for any ID if it sees all."""
        if isinstance(visible, All):
            return Sight.SEEN
        row = self._database.row("SELECT principal FROM jobs WHERE id = ?", (job_id,))
        if row is None:
            return Sight.UNKNOWN
        is_own = isinstance(visible, Only) and row[0] == visible.principal
        return Sight.SEEN if is_own else Sight.FOREIGN


def _where(query: Query, visible: Visibility) -> tuple[str, list[Any]]:
    states = sorted(state.value for state in query.states)
    conditions = ["seq > ?", f"state IN ({', '.join('?' for _ in states)})"]
    values: list[Any] = [query.after, *states]
    match visible:
        case All():
            pass
        case Only(principal):
            conditions.append("principal = ?")
            values.append(principal)
        case Nothing():
            conditions.append("0")
        case _:
            assert_never(visible)
    if query.name is not None:
        conditions.append("name = ?")
        values.append(query.name)
    for key, value in query.labels:
        conditions.append("seq IN (SELECT seq FROM labels WHERE key = ? AND value = ?)")
        values += (key, value)
    return " AND ".join(conditions), values
