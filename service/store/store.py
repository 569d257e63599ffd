"""Records in and out. Each call is one transaction unless it stands in `transaction()`.

Commits go to the write-ahead log without waiting for the disk (`synchronous=NORMAL`): safe against
the death of any process; a power cut may cost the last moments. Copying the log back into the file
does wait for the disk, so it happens in a thread of its own (`checkpoint`).

A store belongs to one thread, and nobody else is served while it waits: for another writer it waits
a moment, then it raises `RecordsLocked` at once until that writer is gone. Other errors of SQLite
become `NoRoom` (the disk is full) or `Unavailable`. What must be stored on a full disk, all but a
submission, is tried again with what the reserve gives up.
"""

from __future__ import annotations

import functools
import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, assert_never

import msgspec

from service.jobs.errors import JobrunnerError, NoRoom, RecordsLocked, Unavailable
from service.jobs.lifecycle import JOB_STATES, LIVE, State
from service.jobs.record import JobRecord, Kill
from service.jobs.visibility import All, Nothing, Only, Sight, Visibility
from service.store.checkpoint import Checkpoints
from service.store.records import COLUMNS, id_of, record_of, state_of
from service.store.reserve import Reserve
from service.store.schema import StoreError, migrate

# Seconds to wait for another worker's transaction; one takes well under a millisecond.
_BUSY_S: Final = 0.025
# The same at a start, when nobody is served: another worker may lead the schema forwards.
_START_BUSY_S: Final = 5.0
# Bytes that the log keeps on disk when SQLite has begun it anew by itself.
_LOG_KEPT_BYTES: Final = 4 << 20
# SQLite says I/O error when a quota is exceeded, and when its index can't grow.
_MAY_BE_ROOM: Final = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
# What an extended result code of SQLite is a case of.
_PRIMARY: Final = 0xFF

_P = ParamSpec("_P")
_T = TypeVar("_T")

_SELECT: Final = f"SELECT {COLUMNS}, spec FROM jobs LEFT JOIN specs USING (seq)"  # noqa: S608 - constants
_LIVE_SQL: Final = ", ".join(f"'{state.value}'" for state in sorted(LIVE))
_ENCODER: Final = msgspec.json.Encoder()
_JOB_STATES_SQL: Final = ", ".join(f"'{state.value}'" for state in sorted(JOB_STATES))
# Each is a range of the index: a NOT IN would look at every job.
_NO_STATE_SQL: Final = " OR ".join(
    [f"state < '{min(JOB_STATES)}'", f"state > '{max(JOB_STATES)}'"]
    + [f"state > '{a}' AND state < '{b}'" for a, b in itertools.pairwise(sorted(JOB_STATES))]
)


class _PerhapsNoRoom(Unavailable):
    """An I/O error that a quota may be the reason of."""


class DuplicateKey(Exception):
    """Another job has that idempotency key."""


class Overtaken(Exception):
    """Somebody else has stored a change of the job since it was read."""


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


@dataclass(frozen=True, slots=True)
class Finished:
    """What retention has to know of a finished job. `disk_bytes` is 0 until it is measured."""

    id: str
    finished_at: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Totals:
    """All finished jobs together."""

    jobs: int
    disk_bytes: int


def _with_reserve(
    write: Callable[Concatenate[Store, _P], _T],
) -> Callable[Concatenate[Store, _P], _T]:
    """`write`, a method that is all or nothing, again for each portion of the reserve."""

    @functools.wraps(write)
    def spending(self: Store, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        # Asked beforehand: a full disk ends a transaction, which is then tried again as a whole.
        is_part = self.is_in_transaction
        while True:
            try:
                return write(self, *args, **kwargs)
            except (NoRoom, _PerhapsNoRoom):
                if is_part or not self.reserve.give_up():
                    raise

    return spending


class Store:
    """The records of one state directory."""

    def __init__(self, path: Path) -> None:
        """Raises: StoreError, with a sentence for the operator."""
        self.reserve = Reserve(path)
        self.checkpoints = Checkpoints(path, _connect)
        self._is_locked = False
        try:
            path.touch(mode=0o600)
            with ExitStack() as undo:
                self._db = undo.enter_context(closing(_connect(path)))
                self._db.execute("PRAGMA foreign_keys = ON")
                migrate(self._db)
                self._wait_for_others(_BUSY_S)
                undo.pop_all()
        except (sqlite3.Error, OSError) as exc:
            raise StoreError(f"The records in {path} can't be opened: {exc}.") from exc

    def close(self) -> None:
        self._db.close()

    @property
    def is_in_transaction(self) -> bool:
        return self._db.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Raises: NoRoom, Unavailable."""
        if self._db.in_transaction:
            yield
            return
        with self._writing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")  # type: ignore[unreachable]  # BEGIN changed it
        self.checkpoints.committed()

    @_with_reserve
    def atomically(self, work: Callable[[], _T]) -> _T:
        """`work` in one transaction, perhaps more than once. Raises: NoRoom, Unavailable."""
        with self.transaction():
            return work()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Errors of a write translated; who waited in vain for another writer waits no more."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as exc:
            error = _translation(exc)
            if isinstance(error, RecordsLocked) and not self._is_locked:
                self._is_locked = True
                self._wait_for_others(0.0)
            raise error from exc
        if self._is_locked:
            self._is_locked = False
            self._wait_for_others(_BUSY_S)

    def _wait_for_others(self, seconds: float) -> None:
        self._db.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def insert(
        self, record: JobRecord, *, key: str | None = None, key_hash: bytes | None = None
    ) -> JobRecord:
        """Store a new job; the record comes back with its `seq`.

        Raises: DuplicateKey, NoRoom, Unavailable.
        """
        with self.transaction():
            try:
                cursor = self._db.execute(
                    "INSERT INTO jobs (id, state, name, created_at, dispatched, output_complete,"
                    " idempotency_key, idempotency_hash, labels, principal, max_running, commands)"
                    " VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?)",
                    (
                        record.id,
                        record.state.value,
                        record.name,
                        record.created_at,
                        record.dispatched,
                        key,
                        key_hash,
                        _text(record.labels) if record.labels else None,
                        record.principal,
                        record.max_running,
                        _text(record.commands),
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
        return msgspec.structs.replace(record, seq=seq)

    @_with_reserve
    def update(self, record: JobRecord, *, before: State = State.RUNNING) -> State | None:
        """Store what changed, as the next revision; the state that the job was in. None, and
        nothing changes, when the stored job is finished already.

        Raises: Overtaken, when another revision is stored than the one that `record` came of;
            NoRoom, Unavailable.

        A kill that was recorded meanwhile is kept when `record` knows of none. `before` is the
        state that is to be expected: any other one costs more.
        """
        with self._writing():
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
        cursor = self._db.execute(
            "UPDATE jobs SET state = ?, reason = ?, exit_code = ?, signal = ?, error = ?,"
            " started_at = ?, finished_at = ?, dispatched = ?, output_bytes = ?,"
            " output_complete = ?, kill = coalesce(?, kill), commands = ?,"
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
                _text(record.kill) if record.kill else None,
                _text(record.commands),
                record.seq,
                before.value,
                record.revision,
            ),
        )
        return cursor.rowcount == 1

    @_with_reserve
    def end_damaged(self, record: JobRecord) -> bool:
        """Store the end of a live job whose row can't be read; False, and nothing changes, when it
        is finished already. The row is made readable, but for the spec, which a newer release may
        be able to read. Raises: NoRoom, Unavailable.
        """
        with self.transaction():
            cursor = self._db.execute(
                "UPDATE jobs SET id = ?, state = ?, name = ?, reason = ?, exit_code = ?,"  # noqa: S608 - constants
                " signal = ?, error = ?, created_at = ?, started_at = ?, finished_at = ?,"
                " dispatched = ?, output_bytes = ?, output_complete = ?, labels = ?, principal = ?,"
                " max_running = ?, kill = ?, commands = ?, disk_bytes = NULL, revision = ?"
                f" WHERE seq = ? AND (state NOT IN ({_JOB_STATES_SQL}) OR state IN ({_LIVE_SQL}))",
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
                    _text(record.labels) if record.labels else None,
                    record.principal,
                    record.max_running,
                    _text(record.kill) if record.kill else None,
                    _text(record.commands),
                    record.revision + 1,
                    record.seq,
                ),
            )
        return cursor.rowcount == 1

    @_with_reserve
    def request_kill(self, job_id: str, kill: Kill) -> State | None:
        """Record the first request to kill a live job; the job's state, None when unknown."""
        with self.transaction():
            self._db.execute(
                "UPDATE jobs SET kill = ?"  # noqa: S608 - constants
                f" WHERE id = ? AND kill IS NULL AND state IN ({_LIVE_SQL})",
                (_text(kill), job_id),
            )
            row = self._db.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return state_of(row[0]) if row else None

    def get(self, job_id: str) -> JobRecord | None:
        with _translated():
            rows = self._rows(f"{_SELECT} WHERE id = ?", (job_id,))
        return record_of(rows[0]) if rows else None

    def state_of(self, job_id: str) -> State | None:
        with _translated():
            row = self._db.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return state_of(row[0]) if row else None

    def output_end_of(self, job_id: str) -> int:
        """The bytes of output that the record of the job tells of; 0 as well when none is known."""
        with _translated():
            row = self._db.execute(
                "SELECT output_bytes FROM jobs WHERE id = ?", (job_id,)
            ).fetchone()
        return (row and row[0]) or 0

    def sight(self, job_id: str, visible: Visibility) -> Sight:
        """What a caller who sees `visible` has to do with that ID; SEEN is any, for one of all."""
        if isinstance(visible, All):
            return Sight.SEEN
        with _translated():
            row = self._db.execute("SELECT principal FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            return Sight.UNKNOWN
        is_own = isinstance(visible, Only) and row[0] == visible.principal
        return Sight.SEEN if is_own else Sight.FOREIGN

    def find_key(self, key: str, principal: str | None = None) -> tuple[str, bytes] | None:
        """The ID and the hash of the job that `principal` submitted with that idempotency key."""
        with _translated():
            row = self._db.execute(
                "SELECT id, idempotency_hash FROM jobs"
                " WHERE idempotency_key = ? AND coalesce(principal, '') = ?",
                (key, principal or ""),
            ).fetchone()
        return (row[0], row[1]) if row else None

    def page(self, query: Query, visible: Visibility, *, full: bool = False) -> Page:
        """One page of a list, of the jobs that are `visible`; records only when `full`."""
        where, values = _where(query, visible)
        # Chosen by the narrow rows of an index first: a join would sort all jobs, wide as they are.
        sql = f"SELECT seq, id FROM jobs WHERE {where} ORDER BY seq LIMIT ?"  # noqa: S608 - values are bound
        if full:
            sql = (
                f"SELECT {COLUMNS}, spec FROM (SELECT seq FROM ({sql}))"  # noqa: S608 - the same
                " JOIN jobs USING (seq) LEFT JOIN specs USING (seq) ORDER BY seq"
            )
        with _translated():
            rows = self._rows(sql, (*values, query.limit + 1))
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        return Page(
            ids=[id_of(row[1]) for row in rows],
            records=[record_of(row) for row in rows] if full else [],
            next=rows[-1][0] if more else None,
        )

    def unfinished(self) -> list[tuple[int, str]]:
        """Every live job, oldest first, by number and ID; and those whose state can't be read."""
        with _translated():
            rows = self._rows(
                f"SELECT seq, id FROM jobs WHERE state IN ({_LIVE_SQL}) OR {_NO_STATE_SQL}"  # noqa: S608 - constants
                " ORDER BY seq"
            )
        return [(row[0], id_of(row[1])) for row in rows]

    def get_numbered(self, seq: int) -> JobRecord | None:
        with _translated():
            rows = self._rows(f"{_SELECT} WHERE seq = ?", (seq,))
        return record_of(rows[0]) if rows else None

    def kills_to_do(self) -> list[tuple[str, Kill]]:
        """Live jobs whose kill was asked for, and isn't done."""
        with _translated():
            rows = self._rows(
                f"SELECT seq FROM jobs WHERE state IN ({_LIVE_SQL}) AND kill IS NOT NULL"  # noqa: S608 - constants
            )
        records = [self.get_numbered(seq) for (seq,) in rows]
        return [(r.id, r.kill) for r in records if r is not None and r.kill is not None]

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.OperationalError as exc:
            if getattr(exc, "sqlite_errorcode", None) is not None:
                raise
            # Python's own refusal, of text that isn't UTF-8.
            self._db.text_factory = _lossy
            try:
                return self._db.execute(sql, values).fetchall()
            finally:
                self._db.text_factory = str

    @_with_reserve
    def clean(self, job_id: str) -> bool:
        """Forget a finished job; its files are noted as to be removed (`cleaned`).

        False, and nothing changes, when there is none.
        """
        with self.transaction():
            self._db.execute(
                "INSERT INTO cleaned SELECT id FROM jobs"  # noqa: S608 - constants
                f" WHERE id = ? AND state NOT IN ({_LIVE_SQL})",
                (job_id,),
            )
            cursor = self._db.execute(
                f"DELETE FROM jobs WHERE id = ? AND state NOT IN ({_LIVE_SQL})",  # noqa: S608 - constants
                (job_id,),
            )
        return cursor.rowcount == 1

    def cleaned(self) -> list[str]:
        """Jobs whose record is gone and whose files may still be there."""
        with _translated():
            return [row[0] for row in self._db.execute("SELECT id FROM cleaned")]

    @_with_reserve
    def files_removed(self, job_id: str) -> None:
        with self.transaction():
            self._db.execute("DELETE FROM cleaned WHERE id = ?", (job_id,))

    def oldest_finished(self, limit: int) -> list[Finished]:
        """Finished jobs in the order of their ends."""
        with _translated():
            rows = self._db.execute(
                "SELECT id, finished_at, coalesce(disk_bytes, 0) FROM jobs"  # noqa: S608 - constants
                f" WHERE finished_at IS NOT NULL AND state NOT IN ({_LIVE_SQL})"
                " ORDER BY finished_at, seq LIMIT ?",
                (limit,),
            ).fetchall()
        return [Finished(*row) for row in rows]

    def totals(self) -> Totals:
        """How many finished jobs there are and what they take; the cost doesn't grow with them."""
        with _translated():
            row = self._db.execute("SELECT jobs, disk_bytes FROM finished").fetchone()
        return Totals(*row)

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state; the cost grows with the live ones only."""
        with _translated():
            row = self._db.execute(
                "SELECT (SELECT count(*) FROM jobs WHERE state = 'pending'),"
                " (SELECT count(*) FROM jobs WHERE state = 'running'), jobs - killed, killed"
                " FROM finished"
            ).fetchone()
        return dict(zip(JOB_STATES, row, strict=True))

    def unmeasured(self, limit: int) -> list[str]:
        """Finished jobs of which nobody has stored what they take on the disk."""
        with _translated():
            rows = self._db.execute(
                "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND disk_bytes IS NULL"
                " ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()
        return [row[0] for row in rows]

    @_with_reserve
    def measured(self, sizes: Mapping[str, int]) -> None:
        """Store what finished jobs take on the disk; the first word about a job counts."""
        with self.transaction():
            self._db.executemany(
                "UPDATE jobs SET disk_bytes = ?"
                " WHERE id = ? AND finished_at IS NOT NULL AND disk_bytes IS NULL",
                [(size, job_id) for job_id, size in sizes.items()],
            )

    def check(self) -> None:
        """Whether a record could be written, without writing any. Raises: Unavailable."""
        with self._writing():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("ROLLBACK")


def _lossy(text: bytes) -> str | bytes:
    """Text, or bytes where it is none: they are of no column's type."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_START_BUSY_S, isolation_level=None, cached_statements=64)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as exc:
        raise _translation(exc) from exc


def _translation(error: sqlite3.Error) -> JobrunnerError:
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_FULL:
        return NoRoom("The disk that holds the records is full.")
    if code & _PRIMARY in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RecordsLocked("Another process has locked the records.")
    kind = _PerhapsNoRoom if code in _MAY_BE_ROOM else Unavailable
    return kind(f"The records can't be reached now: {error}.")


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


def _text(value: object) -> str:
    return _ENCODER.encode(value).decode()
