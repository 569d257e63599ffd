"""Which jobs: the conditions of a selection in SQL, and the index that leads to its jobs.

Rules
1. Live and finished jobs are selected apart. The live ones are few, and found by their state; what
   else is asked for is looked up in their rows.
2. The indexes that only selections need hold finished jobs alone, so that a job enters each of them
   once: at its end, or with many others when its size is measured. A list by one of the latter
   looks at the few that aren't measured yet by an index of their own.
3. SQLite has no statistics of these tables; the index is named (`INDEXED BY`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, assert_never

import msgspec
from msgspec.structs import replace

from service.jobs.states import FINISHED, LIVE, Reason, State
from service.jobs.visibility import All, Nothing, Only, Visibility

_LAST_CHARACTER: Final = chr(0x10FFFF)
_SURROGATES: Final = range(0xD800, 0xE000)


class Selection(msgspec.Struct, frozen=True):
    """The jobs for which all of this holds. `since` and `until` are nanoseconds since 1970: the job
    was submitted at or after the one, and before the other. `has_failed`: it is finished and hasn't
    exited with 0, so one without an exit code has failed as well.
    """

    states: frozenset[State] = LIVE
    name: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    name_prefix: str | None = None
    id_prefix: str | None = None
    since: int | None = None
    until: int | None = None
    exit_code: int | None = None
    has_failed: bool = False
    reasons: frozenset[Reason] | None = None

    @property
    def live(self) -> Selection:
        """The live ones among them."""
        return replace(self, states=self.states & LIVE)

    @property
    def finished(self) -> Selection:
        """The finished ones among them."""
        return replace(self, states=self.states & FINISHED)


class Source(msgspec.Struct, frozen=True):
    """A part of a statement: what stands between FROM and ORDER BY, with its values."""

    sql: str
    values: tuple[Any, ...]


def live_source(selection: Selection, visible: Visibility, *more: Condition) -> Source:
    """The live jobs of a selection."""
    index = "jobs_by_principal" if isinstance(visible, Only) else "jobs_by_state"
    return _source(f"jobs INDEXED BY {index}", _conditions(selection.live, visible), more)


def finished_sources(
    selection: Selection, visible: Visibility, *more: Condition
) -> tuple[Source, ...]:
    """The finished jobs of a selection, by the index that leads to the fewest of them. No job is of
    two sources.
    """
    return _finished_sources(selection, visible, _narrowest(selection, visible), more)


def ordered_sources(
    selection: Selection, visible: Visibility, index: str | None, *more: Condition
) -> tuple[Source, ...]:
    """The same by the index that has them in the wanted order: `index`, or one by number. It is
    left as soon as a page is full.
    """
    if index is None:
        index = "jobs_by_principal" if isinstance(visible, Only) else "jobs_by_state"
    return _finished_sources(selection, visible, index, more)


def is_narrow(selection: Selection, visible: Visibility) -> bool:
    """Whether an index leads to less than all finished jobs that are visible."""
    return _narrowest(selection, visible) not in ("jobs_by_state", "jobs_by_principal")


def is_by_state_alone(selection: Selection) -> bool:
    """Whether nothing but states is asked for."""
    bare = Selection(selection.states)
    return all(getattr(selection, f) == getattr(bare, f) for f in Selection.__struct_fields__)


class Condition(msgspec.Struct, frozen=True):
    """A condition in SQL, with its values."""

    sql: str
    values: tuple[Any, ...] = ()


# In the words of the indexes: SQLite compares them.
_IS_FINISHED: Final = Condition("state IN ('exited', 'killed')")
_IS_MEASURED: Final = Condition("disk_bytes IS NOT NULL")
_IS_UNMEASURED: Final = Condition("finished_at IS NOT NULL AND disk_bytes IS NULL")
_OF_MEASURED: Final = frozenset(
    {"jobs_by_creation", "jobs_by_cpu", "jobs_by_memory", "jobs_by_output"}
)
# That of the column's UNIQUE.
_IDS: Final = "sqlite_autoindex_jobs_1"
# Instead of an index: the table of labels, which has the jobs of a label by number.
_LABELS: Final = ""


def _narrowest(selection: Selection, visible: Visibility) -> str:
    if selection.id_prefix is not None:
        return _IDS
    if selection.name is not None:
        return "jobs_by_name"
    if selection.reasons is not None:
        return "jobs_by_reason"
    if selection.has_failed or selection.exit_code:
        return "jobs_by_exit"
    if selection.labels:
        return _LABELS
    if selection.name_prefix is not None:
        return "jobs_by_name"
    if selection.since is not None or selection.until is not None:
        return "jobs_by_creation"
    return "jobs_by_principal" if isinstance(visible, Only) else "jobs_by_state"


def _finished_sources(
    selection: Selection, visible: Visibility, index: str, more: tuple[Condition, ...]
) -> tuple[Source, ...]:
    selection = selection.finished
    if index == _LABELS:
        first, *others = selection.labels
        conditions = _conditions(replace(selection, labels=tuple(others)), visible)
        labelled = Condition("first.key = ? AND first.value = ?", first)
        tables = "labels AS first CROSS JOIN jobs ON jobs.seq = first.seq"
        return (_source(tables, conditions, (labelled, *more)),)
    if index in _OF_MEASURED:
        return tuple(
            _source(f"jobs INDEXED BY {by}", _conditions(selection, visible), (which, *more))
            for by, which in ((index, _IS_MEASURED), ("jobs_unmeasured", _IS_UNMEASURED))
        )
    if index == "jobs_by_exit":
        more = (_IS_FINISHED, *more)
    return (_source(f"jobs INDEXED BY {index}", _conditions(selection, visible), more),)


def _source(tables: str, conditions: Iterator[Condition], more: tuple[Condition, ...]) -> Source:
    every = (*conditions, *more)
    values = tuple(value for condition in every for value in condition.values)
    return Source(f"{tables} WHERE {' AND '.join(c.sql for c in every)}", values)


def _conditions(selection: Selection, visible: Visibility) -> Iterator[Condition]:
    states = sorted(state.value for state in selection.states)
    yield Condition(f"state IN ({_places(states)})", tuple(states))
    match visible:
        case All():
            pass
        case Only(principal):
            yield Condition("principal = ?", (principal,))
        case Nothing():
            yield Condition("0")
        case _:
            assert_never(visible)
    yield from _of_names(selection)
    for label in selection.labels:
        sql = "SELECT 1 FROM labels WHERE key = ? AND value = ? AND labels.seq = jobs.seq"
        yield Condition(f"EXISTS ({sql})", label)
    for sql, at in (("created_at >= ?", selection.since), ("created_at < ?", selection.until)):
        if at is not None:
            yield Condition(sql, (at,))
    if selection.exit_code is not None:
        yield Condition("exit_code = ?", (selection.exit_code,))
    if selection.has_failed or selection.exit_code:
        yield Condition("exit_code IS NOT 0")
        yield _IS_FINISHED
    if selection.reasons is not None:
        reasons = sorted(reason.value for reason in selection.reasons)
        yield Condition(f"reason IN ({_places(reasons)})", tuple(reasons))


def _of_names(selection: Selection) -> Iterator[Condition]:
    if selection.name is not None:
        yield Condition("name = ?", (selection.name,))
    for column, prefix in (("name", selection.name_prefix), ("id", selection.id_prefix)):
        if prefix is not None:
            yield from _prefixed(column, prefix)


def _prefixed(column: str, prefix: str) -> Iterator[Condition]:
    """A range of texts: SQLite compares them by their bytes, which is by their code points."""
    yield Condition(f"{column} >= ?", (prefix,))
    stem = prefix.rstrip(_LAST_CHARACTER)
    if stem:
        following = ord(stem[-1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        yield Condition(f"{column} < ?", (stem[:-1] + chr(following),))


def _places(values: list[str]) -> str:
    return ", ".join("?" for _ in values)
