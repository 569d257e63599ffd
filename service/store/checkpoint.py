"""Keeps the write-ahead log short, beside readers and writers of this and other processes.

A PASSIVE checkpoint copies the log back without blocking anyone, but SQLite restarts the log only
when a writer begins while all of it is copied. With a commit every few milliseconds that never
happens, and the log grows for ever. So once the log is long, writers are blocked while the rest
after a PASSIVE checkpoint is copied: a few pages and their fsync. Then TRUNCATE empties it.

Rules
1. Blocking is short: most is copied before, and readers are waited for briefly. If one stays (a
   foreign program with an open transaction), the next attempts come at growing intervals.
2. A blocked writer waits outside of the event loop (`RecordsLocked` is retried).
3. While the log is longer than LONG_BYTES, submissions wait until it is shorter, so no load
   outruns the disk; a reader that stays blocks none of them.
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
# The same in bytes of submissions; one may have megabytes.
EVERY_BYTES: Final = 4 << 20
# Bytes of log from which on it is emptied.
EMPTY_FROM_BYTES: Final = 16 << 20
# Bytes of log from which on submissions wait for that. With the transactions of all workers that
# are in flight then, it stays below 64 MiB.
LONG_BYTES: Final = 32 << 20
# Seconds to become the writer; waiting for it blocks nobody.
_WRITERS_S: Final = 5.0
# Seconds that writers may be blocked while readers finish: the service's take a millisecond.
_READERS_S: Final = 0.1
# Seconds until the next attempt to empty the log, after a reader has prevented one.
_FIRST_PAUSE_S: Final = 0.2
_LAST_PAUSE_S: Final = 10.0
# Consecutive failures after which it is logged.
_LOGGED_AFTER: Final = 5

_log = structlog.get_logger("jobrunner.store")


class Checkpoints:
    """The checkpoints of one database by one process. `run` is called from any thread, once at a
    time; everything else by the store's thread.
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
        """Whether submissions should wait for a checkpoint."""
        return self._log_bytes() > LONG_BYTES and not self._is_paused()

    def committed(self, count: int = 0) -> None:
        """Count a transaction, with `count` bytes more than every transaction has."""
        self._commits += 1
        self._bytes += count

    def run(self) -> None:
        """Copy the log back, and empty it if it is long. Blocks on the disk."""
        self._commits = self._bytes = 0
        try:
            with closing(self._connect(self._path)) as db:
                (busy, _, _) = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                # Busy: another process makes a checkpoint.
                if busy or self._log_bytes() < EMPTY_FROM_BYTES or self._is_paused():
                    return
                # Copies what was committed while the first one waited for the disk: little is left.
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._empty(db)
        except sqlite3.Error as exc:
            # A full disk has no space for the log's pages, which stay in the log.
            self._failed(str(exc))

    def _empty(self, db: sqlite3.Connection) -> None:
        # TRUNCATE must become the writer as well, and retries that a few times only. With the write
        # lock held by `writer`, all others sleep between their retries.
        with closing(self._connect(self._path)) as writer:
            writer.execute(f"PRAGMA busy_timeout = {int(_WRITERS_S * 1000)}")
            writer.execute("BEGIN IMMEDIATE")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            db.execute(f"PRAGMA busy_timeout = {int(_READERS_S * 1000)}")
            writer.execute("ROLLBACK")
            (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            self._failed("a reader holds an old snapshot")
        else:
            self._failures = 0

    def _failed(self, why: str) -> None:
        self._failures += 1
        pause = min(_LAST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._failures - 1))
        self._not_before = time.monotonic() + pause
        if self._failures == _LOGGED_AFTER:
            _log.warning("records_log_not_emptied", bytes=self._log_bytes(), why=why)

    def _is_paused(self) -> bool:
        return time.monotonic() < self._not_before

    def _log_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0
