"""The files of jobs, for callers: where they are, and the threads in which they are reached.

A job's directory is there from its submission on, as callers see it: one that hasn't begun, and of
which there is no directory yet, gets it with the first file that is written, or with the files that
it was submitted with.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from service.engine.known_jobs import KnownJobs
from service.engine.start_message import work_mode
from service.errors import UnknownJob
from service.files.job import WORK_MODE, JobFiles
from service.files.place import Place
from service.files.work import Initial, make_work
from service.host.identity import Identity
from service.jobs.states import State
from service.settings import Settings
from service.store import readable

# Threads that wait for disks, in each worker: a slow one takes none away from what else is done in
# threads. No client has one while it sends or takes nothing.
_THREADS: Final = 8

T = TypeVar("T")


class Workspaces:
    """One in each worker."""

    def __init__(self, settings: Settings, jobs: KnownJobs) -> None:
        self._settings = settings
        self._jobs = jobs
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, call: Callable[[], T], *, lost: Callable[[T], None] | None = None) -> T:
        """What it returns, or raises; in a thread. A caller that is cancelled leaves it running:
        `lost` is called with what it returns then, in a thread as well.
        """
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if lost is not None:
                future.add_done_callback(lambda done: self._drop(done, lost))
            raise

    def soon(self, call: Callable[[], None]) -> None:
        """Have it called in a thread; nobody waits for it."""
        self._threads.submit(call)

    def _drop(self, done: asyncio.Future[T], lost: Callable[[T], None]) -> None:
        if not done.cancelled() and done.exception() is None:
            result = done.result()
            self.soon(lambda: lost(result))

    async def place(self, job_id: str, *, make: bool = False) -> Place:
        """Where the job's files are; `make`: the directory is made, if it isn't there.

        Raises: UnknownJob; OSError; Unavailable.
        """
        state = self._jobs.state(job_id)
        files = self._jobs.files(job_id)
        user = self._settings.run_as
        identity = None if user is None else Identity(user.uid, user.gid, user.groups)
        if make or state is State.PENDING:
            initial = self._initial(job_id)
            if make or initial:
                mode = work_mode(self._settings)
                mode = WORK_MODE if mode is None else mode
                await self.run(lambda: make_work(files, identity, mode=mode, initial=initial))
                await self._check_there(job_id, files)
        return Place(files.work, identity)

    def _initial(self, job_id: str) -> list[Initial]:
        _, spec = readable(self._jobs.show(job_id))
        return [Initial(path, given.data, given.mode_bits) for path, given in spec.files.items()]

    async def _check_there(self, job_id: str, files: JobFiles) -> None:
        """Raises: UnknownJob, when the job was cleaned meanwhile; its directory is gone again."""
        try:
            self._jobs.state(job_id)
        except UnknownJob:
            await self.run(lambda: _unmake(files))
            raise


def _unmake(files: JobFiles) -> None:
    for path in (files.work, files.directory):
        with suppress(OSError):  # it isn't empty: retention tells of it
            os.rmdir(path)
