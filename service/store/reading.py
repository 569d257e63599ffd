"""Reading the records by a connection, with SQLite's errors as the service's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from service.errors import InsufficientStorage, JobrunnerError, RecordsLocked, Unavailable

# SQLite reports an I/O error when a quota is exceeded, and when its index can't grow.
_MAY_BE_ROOM: Final = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
# The part of an extended result code of SQLite that is the primary one.
_PRIMARY: Final = 0xFF


class PerhapsInsufficientStorage(Unavailable):
    """An I/O error that may be due to a quota."""


class Reading:
    """What reads by one connection, in the thread that it belongs to."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def close(self) -> None:
        self._db.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """For statements within `transaction`, `writing` or `translated`."""
        return self._db

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read within it is of one moment. Raises: InsufficientStorage, Unavailable."""
        if self._db.in_transaction:
            yield
            return
        with translated():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """All rows of a query. Text that isn't UTF-8 comes as bytes, which no column holds.

        Raises: InsufficientStorage, Unavailable.
        """
        with translated():
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.OperationalError as exc:
                if getattr(exc, "sqlite_errorcode", None) is not None:
                    raise
                # Not SQLite but Python refuses such text.
                self._db.text_factory = _text_or_bytes
                try:
                    return self._db.execute(sql, values).fetchall()
                finally:
                    self._db.text_factory = str

    def row(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """The first row of a query, or None. Raises: InsufficientStorage, Unavailable."""
        with translated():
            return self._db.execute(sql, values).fetchone()


@contextmanager
def translated() -> Iterator[None]:
    """Errors of SQLite as the service's own.

    Raises: InsufficientStorage, RecordsLocked, Unavailable.
    """
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as exc:
        raise translation(exc) from exc


def translation(error: sqlite3.Error) -> JobrunnerError:
    """The service's own error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_FULL:
        return InsufficientStorage("The disk that holds the records is full.")
    if code & _PRIMARY in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RecordsLocked("Another process has locked the records.")
    kind = PerhapsInsufficientStorage if code in _MAY_BE_ROOM else Unavailable
    return kind(f"The records can't be reached now: {error}.")


def _text_or_bytes(text: bytes) -> str | bytes:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text
