"""Jobs as a caller sees them: pages of a list, how many there are, and whether one is visible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from service.jobs.record import JobRecord
from service.jobs.states import FINISHED, LIVE, State
from service.jobs.visibility import All, Only, Sight, Visibility
from service.store.order import Order, Position
from service.store.reading import Reading
from service.store.rows import COLUMNS, id_of, record_of
from service.store.selection import (
    Condition,
    Selection,
    Source,
    finished_sources,
    is_by_state_alone,
    is_narrow,
    live_source,
    ordered_sources,
)

# Finished jobs from which on a page is taken from an index that has them in the order of the list:
# with fewer, to sort those that an index of the selection leads to is faster.
_MANY: Final = 2000


class Query(Selection, frozen=True):
    """The jobs of a selection, in an order, behind the place of the last one seen."""

    order: Order = Order.OLDEST
    limit: int = 1000
    after: Position | None = None


class Page(msgspec.Struct, frozen=True):
    """`next` is the `after` of the next page, None on the last one; `total` counts all pages."""

    ids: list[str] = msgspec.field(default_factory=list)
    records: list[JobRecord] = msgspec.field(default_factory=list)
    next: Position | None = None
    total: int = 0


class Lists:
    """Reads for callers who may see a part of the jobs."""

    def __init__(self, database: Reading) -> None:
        self._database = database

    def page(
        self,
        query: Query,
        visible: Visibility,
        *,
        full: bool = False,
        used: Mapping[str, int] | None = None,
    ) -> Page:
        """One page of the jobs that are `visible`; records only when `full`. `used`: what live jobs
        have used, in an order by that; one that isn't there has used nothing.
        """
        with self._database.reading():
            finished = self._count_finished(query, visible) if query.states & FINISHED else 0
            live = self._count(live_source(query, visible)) if query.states & LIVE else 0
            found = self._finished(query, visible, finished)
            found += self._live(query, visible, used or {}) if live else []
            found.sort(key=lambda job: query.order.rank(job[0]))
            page = found[: query.limit]
            return Page(
                ids=[job_id for _, job_id in page],
                records=self._records([place.seq for place, _ in page]) if full else [],
                next=page[-1][0] if len(found) > query.limit else None,
                total=finished + live,
            )

    def ids(
        self, selection: Selection, visible: Visibility, *, after: int, last: int, limit: int
    ) -> list[tuple[int, str]]:
        """Numbers and IDs of visible jobs of a selection, oldest first, of those with a number
        above `after` and up to `last`.
        """
        bounds = Condition("jobs.seq > ? AND jobs.seq <= ?", (after, last))
        sources = []
        if selection.states & LIVE:
            sources.append(live_source(selection, visible, bounds))
        if selection.states & FINISHED:
            sources += finished_sources(selection, visible, bounds)
        found: list[tuple[int, str]] = []
        for source in sources:
            sql = f"SELECT jobs.seq, id FROM {source.sql} ORDER BY jobs.seq LIMIT ?"  # noqa: S608 - values are bound
            found += self._database.rows(sql, (*source.values, limit))
        return [(seq, id_of(job_id)) for seq, job_id in sorted(found)[:limit]]

    def last_seq(self) -> int:
        """The number of the job that was submitted last."""
        return self._database.row("SELECT max(seq) FROM jobs")[0] or 0

    def running(self, selection: Selection, visible: Visibility) -> list[str]:
        """The IDs of the running jobs of a selection."""
        if State.RUNNING not in selection.states:
            return []
        selection = replace(selection, states=frozenset({State.RUNNING}))
        source = live_source(selection, visible)
        rows = self._database.rows(f"SELECT id FROM {source.sql}", source.values)  # noqa: S608 - values are bound
        return [id_of(row[0]) for row in rows]

    def sight(self, job_id: str, visible: Visibility) -> Sight:
        """What a caller who sees `visible` may know of that ID; SEEN for any ID if it sees all."""
        if isinstance(visible, All):
            return Sight.SEEN
        row = self._database.row("SELECT principal FROM jobs WHERE id = ?", (job_id,))
        if row is None:
            return Sight.UNKNOWN
        is_own = isinstance(visible, Only) and row[0] == visible.principal
        return Sight.SEEN if is_own else Sight.FOREIGN

    def _count_finished(self, query: Query, visible: Visibility) -> int:
        if isinstance(visible, All) and is_by_state_alone(query):
            jobs, killed = self._database.row("SELECT jobs, killed FROM finished")
            counted = {State.EXITED: jobs - killed, State.KILLED: killed}
            return sum(count for state, count in counted.items() if state in query.states)
        if query.exit_code != 0 or is_narrow(query, visible):
            return self._count(*finished_sources(query, visible))
        # Most jobs exit with 0: no index has those, but one has all others.
        every = replace(query, exit_code=None)
        failed = replace(every, has_failed=True)
        return self._count(*finished_sources(every, visible)) - self._count(
            *finished_sources(failed, visible)
        )

    def _count(self, *sources: Source) -> int:
        count = 0
        for source in sources:
            sql = f"SELECT count(*) FROM {source.sql}"  # noqa: S608 - values are bound
            count += self._database.row(sql, source.values)[0]
        return count

    def _finished(
        self, query: Query, visible: Visibility, count: int
    ) -> list[tuple[Position, str]]:
        if not query.states & FINISHED:
            return []
        behind = query.order.behind(query.after)
        if count < _MANY:
            sources = finished_sources(query, visible, *behind)
        else:
            sources = ordered_sources(query, visible, query.order.by_measure, *behind)
        return [job for source in sources for job in self._places(query, source, query.limit + 1)]

    def _live(
        self, query: Query, visible: Visibility, used: Mapping[str, int]
    ) -> list[tuple[Position, str]]:
        order = query.order
        if not order.is_by_use:
            source = live_source(query, visible, *order.behind(query.after))
            return self._places(query, source, query.limit + 1)
        found = self._places(query, live_source(query, visible), -1)
        places = [(Position(used.get(job_id, 0), place.seq), job_id) for place, job_id in found]
        if query.after is None:
            return places
        last = order.rank(query.after)
        return [(place, job_id) for place, job_id in places if order.rank(place) > last]

    def _places(self, query: Query, source: Source, limit: int) -> list[tuple[Position, str]]:
        # What an index holds is sorted first; the rows are read of those that are shown.
        order = query.order
        sql = (
            f"SELECT value, seq, id FROM (SELECT {order.measure} AS value, jobs.seq AS seq"  # noqa: S608 - values are bound
            f" FROM {source.sql} ORDER BY {order.sql} LIMIT ?) JOIN jobs USING (seq)"
        )
        rows = self._database.rows(sql, (*source.values, limit))
        return [(Position(value, seq), id_of(job_id)) for value, seq, job_id in rows]

    def _records(self, seqs: list[int]) -> list[JobRecord]:
        sql = (
            f"SELECT {COLUMNS}, spec FROM jobs LEFT JOIN specs USING (seq)"  # noqa: S608 - constants
            " WHERE seq IN (SELECT value FROM json_each(?))"
        )
        records = {row[0]: record_of(row) for row in self._database.rows(sql, (json.dumps(seqs),))}
        return [records[seq] for seq in seqs]
