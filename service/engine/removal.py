"""Removing the files of jobs that are cleaned.

What a job could write, its working directory, is removed first; the record is deleted, and the rest
removed, when nothing of it is left. One job's trouble is logged, and is that job's: what can't be
removed stays noted in the records, and is tried again by retention. What takes long is gone on with
by one task, a while for each job in turn.

What the job's user can remove is removed as that user; what is left, such as files that containers
have made, as the service's own. Neither is led out of the directory (`service.files.walk`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from service.engine.patient_writes import stored
from service.errors import JobrunnerError
from service.files.job import JobFiles, job_files
from service.files.removal import LeftBehind, empty, remove
from service.files.user import acting_as
from service.files.walk import OutOfTime
from service.host.escaping import escaped
from service.settings import Settings
from service.store import Leftover, Store

# Seconds for the files of one job at a time: some hundred thousand on an ordinary disk. Somebody
# who goes on making files keeps nobody longer.
_REMOVAL_S: Final = 30.0
# How many jobs whose files couldn't be removed are tried again with those that retention cleans.
_TRIED_AGAIN: Final = 10
# Bytes of a path that are told: its end.
_MAX_PATH: Final = 1000

_log = structlog.get_logger("jobrunner.engine")


class Removal:
    """One in each worker; several may remove the same files."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._failed: deque[str] = deque()  # the oldest first
        self._unfinished: deque[str] = deque()
        self._late: set[str] = set()  # jobs whose working directory took too long
        self._has_more = asyncio.Event()
        self._is_closing = False

    def close(self) -> None:
        """Leave what is under way to the next start."""
        self._is_closing = True

    async def run(self) -> None:
        """Remove what processes before this one have left, and go on with what takes long, until
        cancelled.
        """
        await self.remove(self._store.finished.cleaned())
        while True:
            while self._unfinished:
                await self.remove([self._unfinished.popleft()])
            self._has_more.clear()
            await self._has_more.wait()

    async def empty(self, job_id: str) -> Leftover | None:
        """Remove the working directory of a job that has a record; what is left, None: nothing, or
        more than there was time for.
        """
        files = job_files(self._settings.state_dir, job_id)
        try:
            await asyncio.to_thread(self._remove_work, files, self._bound())
        except OutOfTime:
            self._late.add(job_id)
            return None
        except OSError as exc:
            left = _leftover(exc, "work")
            _log.error("files_not_removed", job=job_id, path=left.path, error=left.why)
            return left
        return None

    async def remove(self, job_ids: Iterable[str]) -> None:
        """Remove the files of jobs that are noted as cleaned, as far as that works."""
        for job_id in job_ids:
            try:
                await self._remove(job_id)
            except JobrunnerError as exc:
                _log.error("removal_not_stored", job=job_id, error=exc.detail)
                self._failed.append(job_id)

    async def try_again(self) -> None:
        """Try some of those again whose files couldn't be removed."""
        count = min(_TRIED_AGAIN, len(self._failed))
        await self.remove([self._failed.popleft() for _ in range(count)])

    async def _remove(self, job_id: str) -> None:
        if job_id in self._late:  # whoever waits has waited long enough
            self._late.discard(job_id)
            self._go_on_with(job_id)
            return
        files = job_files(self._settings.state_dir, job_id)
        try:
            await asyncio.to_thread(self._remove_files, files)
        except OutOfTime:
            self._go_on_with(job_id)
        except OSError as exc:
            left = _leftover(exc, "")
            _log.error("files_not_removed", job=job_id, path=left.path, error=left.why)
            self._failed.append(job_id)
            at = time.time_ns()
            await stored(lambda: self._store.finished.files_left({job_id: left}, at=at))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this job
            _log.error("files_not_removed", job=job_id, exc_info=exc)
            self._failed.append(job_id)
        else:
            await stored(lambda: self._store.finished.files_removed(job_id))
            self._store.reserve.try_restore()

    def _go_on_with(self, job_id: str) -> None:
        _log.warning("files_not_removed_yet", job=job_id)
        self._unfinished.append(job_id)
        self._has_more.set()

    def _bound(self) -> Callable[[], bool]:
        ends_at = time.monotonic() + _REMOVAL_S
        return lambda: self._is_closing or time.monotonic() > ends_at

    def _remove_files(self, files: JobFiles) -> None:
        is_over = self._bound()
        self._remove_work(files, is_over)
        for path in {files.directory, files.log}:
            _remove(path, is_over)

    def _remove_work(self, files: JobFiles, is_over: Callable[[], bool]) -> None:
        left_by_user = self._empty_as_user(files, is_over)
        try:
            _remove(files.work, is_over)
        except PermissionError as exc:
            # Without the privileges to look into it: the user's error is the one that has a path.
            if left_by_user is None:
                raise
            raise left_by_user from exc

    def _empty_as_user(self, files: JobFiles, is_over: Callable[[], bool]) -> LeftBehind | None:
        """What the job's user couldn't remove."""
        if (user := self._settings.run_as) is None:
            return None
        try:
            with acting_as(user.uid, user.gid, user.groups):
                _empty(files.work, is_over)
        except OutOfTime:
            raise
        except OSError as exc:
            _log.debug("left_to_the_service", why=str(exc))
            return exc if isinstance(exc, LeftBehind) else None
        return None


def _leftover(error: OSError, top: str) -> Leftover:
    path = os.fsencode(top)
    if isinstance(error, LeftBehind) and error.path:
        path = os.path.join(path, error.path)
    why = os.strerror(error.errno or 0)
    if error.errno in (errno.EBUSY, errno.EXDEV):
        why = f"{why}: something is mounted there"
    return Leftover(escaped(path[-_MAX_PATH:].decode(errors="backslashreplace")), why)


def _empty(path: str, is_over: Callable[[], bool]) -> None:
    directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        empty(directory, is_over=is_over)
    finally:
        os.close(directory)


def _remove(path: str, is_over: Callable[[], bool]) -> None:
    above, name = os.path.split(path)
    with suppress(FileNotFoundError):  # no job of this service has had a byte of output yet
        parent = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove(parent, name, is_over=is_over)
        finally:
            os.close(parent)
