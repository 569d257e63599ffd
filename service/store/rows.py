"""Rows into records. A row that can't be read becomes a record that says so (`damage`), with what
can be read of it: one bad row breaks no list, and a live job with one can be ended.

A row can't be read when a person or a disk damaged it, or when a newer release wrote it.
"""

from __future__ import annotations

import itertools
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from service.jobs.record import MAX_TIME_NS, CommandOutcome, JobRecord, Kill
from service.jobs.spec import JobSpec
from service.jobs.states import FINISHED, JOB_STATES, LIVE, Reason, State
from service.kinds.stored import decode_spec

COLUMNS: Final = (
    "seq, id, state, name, reason, exit_code, signal, error, created_at, started_at, finished_at,"
    " dispatched, output_bytes, output_complete, labels, principal, max_running, kill, commands,"
    " revision, priority, priority_changes"
)
SELECT: Final = f"SELECT {COLUMNS}, spec FROM jobs LEFT JOIN specs USING (seq)"  # noqa: S608 - constants
LIVE_SQL: Final = ", ".join(f"'{state.value}'" for state in sorted(LIVE))
JOB_STATES_SQL: Final = ", ".join(f"'{state.value}'" for state in sorted(JOB_STATES))
# Each is a range of the index: a NOT IN would look at every job.
NO_STATE_SQL: Final = " OR ".join(
    [f"state < '{min(JOB_STATES)}'", f"state > '{max(JOB_STATES)}'"]
    + [f"state > '{a}' AND state < '{b}'" for a, b in itertools.pairwise(sorted(JOB_STATES))]
)
_NAMES: Final = (*COLUMNS.split(", "), "spec")
# A job whose state can't be read isn't live for callers: nothing drives it any more.
_UNREADABLE: Final = State.KILLED

_ENCODER: Final = msgspec.json.Encoder()
_COMMANDS: Final = msgspec.json.Decoder(tuple[CommandOutcome, ...])
_KILL: Final = msgspec.json.Decoder(Kill)
_LABELS: Final = msgspec.json.Decoder(dict[str, str])

_TEXT: Final = frozenset({str})
_TEXT_OR_NONE: Final = frozenset({str, type(None)})
_INTEGER: Final = frozenset({int})
_INTEGER_OR_NONE: Final = frozenset({int, type(None)})
# What each column holds, in the order of `_NAMES`.
_TYPES: Final = (
    _INTEGER,
    _TEXT,
    _TEXT,
    _TEXT_OR_NONE,
    _TEXT_OR_NONE,
    _INTEGER_OR_NONE,
    _TEXT_OR_NONE,
    _TEXT_OR_NONE,
    _INTEGER,
    _INTEGER_OR_NONE,
    _INTEGER_OR_NONE,
    _INTEGER,
    _INTEGER_OR_NONE,
    _INTEGER,
    _TEXT_OR_NONE,
    _TEXT_OR_NONE,
    _INTEGER,
    _TEXT_OR_NONE,
    _TEXT,
    _INTEGER,
    _INTEGER_OR_NONE,
    _INTEGER,
    _TEXT,
)
_Row = tuple[Any, ...]


def record_of(row: _Row) -> JobRecord:
    """The record of a row of `COLUMNS` and the spec; see `JobRecord.damage`."""
    if all(type(value) in types for value, types in zip(row, _TYPES, strict=True)):
        try:
            return _checked(_read(row))
        except ValueError:
            pass
    return _salvaged(row)


def state_of(value: Any) -> State:
    """The state that a row has."""
    return State(value) if value in JOB_STATES else _UNREADABLE


def kill_of(value: Any) -> Kill | None:
    """The kill that a row has; None as well for one that can't be read."""
    try:
        return _KILL.decode(value) if value else None
    except (msgspec.DecodeError, TypeError):
        return None


def id_of(value: Any) -> str:
    """The ID that a row has, as callers see it."""
    return value if isinstance(value, str) else repr(value)


def as_text(value: object) -> str:
    """A structured column's text."""
    return _ENCODER.encode(value).decode()


def readable(record: JobRecord) -> tuple[JobRecord, JobSpec]:
    """The record, and the spec in it. When that can't be read, or isn't of this record, the record
    says so, and the spec has no command.
    """
    try:
        spec = decode_spec(record.spec)
        if len(spec.commands) == len(record.commands) and record.dispatched < len(spec.commands):
            return record, spec
    except ValueError:
        return _without_spec(record, "spec"), JobSpec(commands=())
    if record.damage is not None:
        return replace(
            record, commands=(CommandOutcome(),) * len(spec.commands), dispatched=-1
        ), spec
    return _without_spec(record, "commands"), JobSpec(commands=())


def _without_spec(record: JobRecord, column: str) -> JobRecord:
    record = replace(record, commands=(), dispatched=-1)
    return record if record.damage is not None else _damaged(record, column)


def _read(row: _Row) -> JobRecord:
    return JobRecord(
        seq=row[0],
        id=row[1],
        state=State(row[2]),
        name=row[3],
        reason=Reason(row[4]) if row[4] else None,
        exit_code=row[5],
        signal=row[6],
        error=row[7],
        created_at=row[8],
        started_at=row[9],
        finished_at=row[10],
        dispatched=row[11],
        output_bytes=row[12],
        output_complete=bool(row[13]),
        labels=_LABELS.decode(row[14]) if row[14] else {},
        principal=row[15],
        max_running=row[16],
        kill=_KILL.decode(row[17]) if row[17] else None,
        commands=_COMMANDS.decode(row[18]),
        revision=row[19],
        priority=row[20],
        priority_changes=row[21],
        spec=row[22].encode(),
    )


def _checked(record: JobRecord) -> JobRecord:
    """Raises: ValueError."""
    for at in (record.created_at, record.started_at, record.finished_at):
        if at is not None and not 0 <= at <= MAX_TIME_NS:
            raise ValueError(at)
    if record.state is State.SKIPPED or not -1 <= record.dispatched < len(record.commands):
        raise ValueError(record.dispatched)
    return record


def _salvaged(row: _Row) -> JobRecord:
    """Column by column: a record of nothing but defaults, and what can be read of the row."""
    empty = (0, "", _UNREADABLE.value, *[None] * 5, 0, None, None, -1, None, 0, None, None)
    values: list[Any] = [*empty, 0, None, "[]", 0, None, 0, "{}"]
    record = _read(tuple(values))
    damaged = []
    for number, value in enumerate(row):
        before, values[number] = values[number], value
        try:
            if type(value) not in _TYPES[number]:
                raise ValueError(value)
            tried = _read(tuple(values))
            # Of `dispatched` more is checked once the commands are known.
            record = _checked(replace(tried, dispatched=-1))
        except ValueError:
            values[number] = before
            damaged.append(_NAMES[number])
    if not record.id:
        record = replace(record, id=str(UUID(int=record.seq)))  # one that can be asked for
    dispatched = values[_NAMES.index("dispatched")]
    if not -1 <= dispatched < len(record.commands):
        damaged.append("dispatched")
    # Whether a command of it was started isn't known then, so it counts as if one was.
    return _damaged(replace(record, dispatched=0 if record.commands else -1), ", ".join(damaged))


def _damaged(record: JobRecord, columns: str) -> JobRecord:
    why = f"The record of this job can't be read (damaged, or of a newer release): {columns}."
    error = why if record.state in FINISHED else record.error
    return replace(record, damage=why, error=error)
