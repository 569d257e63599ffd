"""Keeping the write-ahead log short, beside readers and writers of this and other processes.

A PASSIVE checkpoint copies the log back without waiting for anybody, but SQLite begins the log anew
only when a writer comes while all of it is copied: with a commit every few milliseconds that moment
never comes, and the log grows for ever. So once the log is long, writers are kept out while what is
left after a PASSIVE one is copied: a few pages and their fsync. Then TRUNCATE empties it.

Rules
1. Nobody is kept out for long: most is copied beforehand, and readers are waited for a moment only.
   One that stays (a foreign program with an open transaction) is tried again later and later.
2. Whoever is kept out waits outside of the event loop (`RecordsLocked` is tried again).
3. A log beyond LONG_BYTES makes submissions wait until it is shorter, so that no load outruns the
   disk; a reader that stays stops nobody.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

# Transactions of this process between two checkpoints: about 4 MB of log.
EVERY_COMMITS: Final = 500
# The same in bytes of submissions, of which one may have megabytes.
EVERY_BYTES: Final = 4 << 20
# Bytes from which on the log is emptied.
EMPTY_FROM_BYTES: Final = 16 << 20
# Bytes from which on submissions wait for that. With what is under way then, by all workers, the
# log stays below 64 MiB.
LONG_BYTES: Final = 32 << 20
# Seconds in which our turn comes among writers; nobody is kept out by the waiting.
_WRITERS_S: Final = 5.0
# Seconds that writers may be kept out while readers finish: one of ours takes a millisecond.
_READERS_S: Final = 0.1
# Seconds until the log is tried to be emptied again, after a reader has prevented it.
_FIRST_PAUSE_S: Final = 0.2
_LAST_PAUSE_S: Final = 10.0
# Failures in a row after which it is told.
_TOLD_AFTER: Final = 5

_log = structlog.get_logger("jobrunner.store")


class Checkpoints:
    """The checkpoints that one process makes of one database. `run` is called from any thread, once
    at a time; all else by the thread of the store.
    """

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._wal = path.with_name(f"{path.name}-wal")
        self._commits = 0
        self._bytes = 0
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_due(self) -> bool:
        return self._commits >= EVERY_COMMITS or self._bytes >= EVERY_BYTES

    @property
    def is_log_long(self) -> bool:
        """Whether submissions are to wait for a checkpoint."""
        return self._log_bytes() > LONG_BYTES and not self._is_held_up()

    def committed(self, count: int = 0) -> None:
        """A transaction, with `count` bytes beyond what all of them have."""
        self._commits += 1
        self._bytes += count

    def run(self) -> None:
        """Copy the log back, and empty it when it is long. Waits for the disk."""
        self._commits = self._bytes = 0
        try:
            with closing(self._connect(self._path)) as db:
                (busy, _, _) = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                # Busy: another process does it.
                if busy or self._log_bytes() < EMPTY_FROM_BYTES or self._is_held_up():
                    return
                # What came while the first one waited for the disk: the last one has little left.
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._empty(db)
        except sqlite3.Error as exc:
            # A full disk has no room for what the log holds; it keeps it.
            self._failed(str(exc))

    def _empty(self, db: sqlite3.Connection) -> None:
        # TRUNCATE has to be the writer as well. Behind others it would ask for that a few times
        # only; behind us, whoever waits for their turn sleeps.
        with closing(self._connect(self._path)) as writer:
            writer.execute(f"PRAGMA busy_timeout = {int(_WRITERS_S * 1000)}")
            writer.execute("BEGIN IMMEDIATE")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            db.execute(f"PRAGMA busy_timeout = {int(_READERS_S * 1000)}")
            writer.execute("ROLLBACK")
            (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            self._failed("somebody reads records as they were")
        else:
            self._failures = 0

    def _failed(self, why: str) -> None:
        self._failures += 1
        pause = min(_LAST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._failures - 1))
        self._not_before = time.monotonic() + pause
        if self._failures == _TOLD_AFTER:
            _log.warning("log_not_emptied", bytes=self._log_bytes(), why=why)

    def _is_held_up(self) -> bool:
        return time.monotonic() < self._not_before

    def _log_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0
