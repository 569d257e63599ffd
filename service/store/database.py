"""One process's connection to the database: transactions, waiting for other writers, errors.

Commits go to the write-ahead log without waiting for the disk (`synchronous=NORMAL`): safe against
the death of any process; a power cut may cost the last moments. Copying the log back into the file
does wait for the disk, so it happens in a thread of its own (`checkpoint`).

A database belongs to one thread, which serves nobody while it waits: it waits for another writer
for a moment, and after that raises `RecordsLocked` at once until that writer is gone. Other errors
of SQLite become `InsufficientStorage` (the disk is full) or `Unavailable`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from service.errors import InsufficientStorage, RecordsLocked
from service.store.checkpoint import Checkpoints
from service.store.reading import PerhapsInsufficientStorage, Reading, translation
from service.store.reserve import Reserve
from service.store.schema import StoreError, migrate

# Seconds to wait for another worker's transaction; one takes well under a millisecond.
_BUSY_S: Final = 0.025
# The same at a start, when nobody is served: another worker may be migrating the schema.
_START_BUSY_S: Final = 5.0
# Bytes that the log keeps on disk when SQLite has restarted it by itself.
_LOG_KEPT_BYTES: Final = 4 << 20
_T = TypeVar("_T")


class Database(Reading):
    """The connection to the records in one file."""

    def __init__(self, path: Path) -> None:
        """Raises: StoreError, with a sentence for the operator."""
        self.log_path = path.with_name(f"{path.name}-wal")  # SQLite's write-ahead log
        self.reserve = Reserve(path)
        self.checkpoints = Checkpoints(path, _connect)
        self._is_locked = False
        try:
            path.touch(mode=0o600)
            with ExitStack() as undo:
                super().__init__(undo.enter_context(closing(_connect(path))))
                self._db.execute("PRAGMA foreign_keys = ON")
                migrate(self._db)
                self._wait_for_others(_BUSY_S)
                undo.pop_all()
        except (sqlite3.Error, OSError) as exc:
            raise StoreError(f"The records in {path} can't be opened: {exc}.") from exc

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; within another one, a part of it.

        Raises: InsufficientStorage, Unavailable.
        """
        if self._db.in_transaction:
            yield
            return
        with self.writing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")  # type: ignore[unreachable]  # BEGIN changed it
        self.checkpoints.committed()

    def atomically(self, work: Callable[[], _T]) -> _T:
        """`work` in one transaction; on a full disk again with each portion of the reserve.

        Raises: InsufficientStorage, Unavailable.
        """

        def in_transaction() -> _T:
            with self.transaction():
                return work()

        return self.spending_reserve(in_transaction)

    def spending_reserve(self, write: Callable[[], _T]) -> _T:
        """`write`, which is all or nothing, again for each portion of the reserve."""
        # Read beforehand: a full disk ends a transaction, which is then repeated as a whole.
        is_part = self._db.in_transaction
        while True:
            try:
                return write()
            except (InsufficientStorage, PerhapsInsufficientStorage):
                if is_part or not self.reserve.give_up():
                    raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Translate errors of a write; after one wait in vain for another writer, wait no more."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as exc:
            error = translation(exc)
            if isinstance(error, RecordsLocked) and not self._is_locked:
                self._is_locked = True
                self._wait_for_others(0.0)
            raise error from exc
        if self._is_locked:
            self._is_locked = False
            self._wait_for_others(_BUSY_S)

    def _wait_for_others(self, seconds: float) -> None:
        self._db.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def check(self) -> None:
        """Whether a record could be written, without writing any. Raises: Unavailable."""
        with self.writing():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("ROLLBACK")


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
