"""Removing the files of jobs that were cleaned.

One job's trouble is logged, and is that job's: what can't be removed stays noted in the records,
and is tried again when retention cleans others, and at the next start. What takes long is gone on
with by one task, a while for each job in turn.

What the job's user can remove is removed as that user; what is left, such as files that containers
have made, as the service's own. Neither is led out of the directory (`service.files.walk`).
"""

from __future__ import annotations

import asyncio
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
from service.files.removal import empty, remove
from service.files.user import acting_as
from service.files.walk import OutOfTime
from service.settings import Settings
from service.store import Store

# Seconds for the files of one job at a time: some hundred thousand on an ordinary disk. Somebody
# who goes on making files keeps nobody longer.
_REMOVAL_S: Final = 30.0
# How many jobs whose files couldn't be removed are tried again with those that retention cleans.
_TRIED_AGAIN: Final = 10

_log = structlog.get_logger("jobrunner.engine")


class Removal:
    """One in each worker; several may remove the same files."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._failed: deque[str] = deque()  # the oldest first
        self._unfinished: deque[str] = deque()
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
        files = job_files(self._settings.state_dir, job_id)
        try:
            await asyncio.to_thread(self._remove_files, files)
        except OutOfTime:
            _log.warning("files_not_removed_yet", job=job_id)
            self._unfinished.append(job_id)
            self._has_more.set()
        except OSError as exc:
            _log.error("files_not_removed", job=job_id, error=str(exc))
            self._failed.append(job_id)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this job
            _log.error("files_not_removed", job=job_id, exc_info=exc)
            self._failed.append(job_id)
        else:
            await stored(lambda: self._store.finished.files_removed(job_id))
            self._store.reserve.try_restore()

    def _remove_files(self, files: JobFiles) -> None:
        ends_at = time.monotonic() + _REMOVAL_S

        def is_over() -> bool:
            return self._is_closing or time.monotonic() > ends_at

        if (user := self._settings.run_as) is not None:
            try:
                with acting_as(user.uid, user.gid, user.groups):
                    _empty(files.work, is_over)
            except OutOfTime:
                raise
            except OSError as exc:
                _log.debug("left_to_the_service", why=str(exc))
        for path in {files.directory, files.log}:
            _remove(path, is_over)


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
