"""Disk space in reserve, for records that must be stored on a full disk: ends, kills, cleans.

The file `reserve` in the state directory is made at the start, before any job runs. When a write
finds no free space, a portion of it is given up and the write is retried; no job is accepted until
the reserve is complete again.

Rules
1. Submissions never take from it.
2. What is given up is allocated to the write-ahead log at once, as blocks beyond its end: otherwise
   a job that fills the disk in a loop would take it first.
3. Any process of the service may give up a portion or restore it; both are idempotent.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from service.output.holes import keep_room
from service.paths import StateDir
from service.store.free_space import FreeSpace
from service.store.schema import StoreError

# Bytes, at most: the ends of some hundred jobs, each stored by itself, take about this much of the
# log. On a small file system it is a part of that.
_BYTES: Final = 8 << 20
_PART_OF_DISK: Final = 16
_PORTIONS: Final = 8
# Bytes that a start takes: a new log, its index in memory, the supervisor's files. SQLite maps its
# index; where blocks are smaller than pages, a page that can't be had is SIGBUS, not an error.
_START_BYTES: Final = 512 << 10

_log = structlog.get_logger("jobrunner.store")


class Reserve:
    """The reserve of one state directory."""

    def __init__(self, records: Path) -> None:
        """For the state directory that `records`, the database, is in."""
        self._path = StateDir(records.parent).reserve
        self._log = records.with_name(f"{records.name}-wal")
        self._whole: int | None = None

    @property
    def whole_bytes(self) -> int:
        """Its size when nothing was given up."""
        if self._whole is None:
            disk = os.statvfs(self._path.parent)
            part = disk.f_blocks * disk.f_frsize // _PART_OF_DISK
            self._whole = min(_BYTES, part - part % (_PORTIONS * 4096))
        return self._whole

    @property
    def missing_bytes(self) -> int:
        """What was given up and isn't back."""
        try:
            return max(0, self.whole_bytes - self._path.stat().st_size)
        except FileNotFoundError:
            return self.whole_bytes

    def shortage(self) -> str | None:
        """Why no job can be taken, a sentence; None when one can. Raises: OSError."""
        return FreeSpace.of(self._path.parent).shortage(self.missing_bytes)

    def restore(self) -> None:
        """Make it whole again if there is room for that and for a job. Raises: OSError."""
        if self.missing_bytes and self.shortage() is None:
            self._make_whole()

    def try_restore(self) -> None:
        """The same; a failure is logged."""
        try:
            self.restore()
        except OSError as exc:
            _log.warning("reserve_not_made", error=str(exc))

    def _make_whole(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size < self.whole_bytes:
                _allocate(descriptor, size, self.whole_bytes)
        finally:
            os.close(descriptor)

    def give_up(self) -> bool:
        """Free a portion for the records; False when there is none left."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            size = os.fstat(descriptor).st_size
            if not size:
                return False
            left = max(0, size - max(4096, self.whole_bytes // _PORTIONS))
            os.ftruncate(descriptor, left)
        finally:
            os.close(descriptor)
        self._give_to_log(size - left)
        return True

    def prepare_start(self) -> None:
        """See that the service can start: with the reserve when there is room for it, else with
        what is given up of it. Raises: StoreError, when even that is too little.
        """
        with suppress(OSError):
            self.restore()
        while True:
            try:
                self._prove_room()
                return
            except OSError as exc:
                if not self.give_up():
                    raise StoreError(
                        f"The disk that holds {self._path.parent} has not the {_START_BYTES} bytes"
                        f" left that a start needs: {os.strerror(exc.errno or 0)}."
                    ) from exc

    def _prove_room(self) -> None:
        # Allocated for real: what a root's share or a quota leaves is in no statistics.
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        probe = self._path.with_suffix(".probe")
        probe.unlink(missing_ok=True)
        descriptor = os.open(probe, flags, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _START_BYTES)
        finally:
            os.close(descriptor)
            probe.unlink()

    def _give_to_log(self, count: int) -> None:
        try:
            descriptor = os.open(self._log, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            # Where a file system can't, whoever comes first has it: as a rule we do.
            with suppress(OSError):
                keep_room(descriptor, os.fstat(descriptor).st_size, count)
        finally:
            os.close(descriptor)


def _allocate(descriptor: int, start: int, end: int) -> None:
    try:
        os.posix_fallocate(descriptor, start, end - start)
    except OSError:
        os.ftruncate(descriptor, start)  # ext4 keeps what it could allocate
        raise
