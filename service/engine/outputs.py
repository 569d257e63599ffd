"""The visits of readers: each opens the output of a job, or of many, and goes on by itself."""

from __future__ import annotations

import structlog

from service.engine.job_subscription import JobSubscription
from service.engine.known_jobs import KnownJobs
from service.engine.many_jobs import ManyJobs, ReaderOfMany
from service.engine.many_place import Place
from service.engine.stored_output import StoredOutput
from service.output.formats.encoder import Encoder
from service.output.keep_alive import KeepAlive
from service.output.search.pool import SearchPool
from service.output.selection import EVERYTHING, Selection
from service.output.watcher import LogWatcher
from service.store import Store

_log = structlog.get_logger("jobrunner.engine")


def _not_watched(why: str) -> None:
    _log.warning("output_not_watched", why=why)


class Outputs:
    """Of one worker, in its loop. A reader that goes away costs nobody else anything.

    Attributes:
        searches: those of `grep`, outside of the loop.
    """

    def __init__(self, store: Store, jobs: KnownJobs, *, max_followed_jobs: int) -> None:
        self._store = store
        self._jobs = jobs
        self._max_followed_jobs = max_followed_jobs
        self._watcher = LogWatcher(_not_watched)
        self.searches = SearchPool()

    def open(self) -> None:
        """Begin to watch logs."""
        self._watcher.open()

    async def close(self) -> None:
        """End all visits."""
        self._watcher.close()
        await self.searches.close()

    @property
    def refusal(self) -> str | None:
        """Why logs are polled instead of watched; None when all are watched."""
        return self._watcher.refusal

    def follow(
        self,
        job_id: str,
        encoder: Encoder,
        *,
        offset: int,
        stream: int | None,
        follow: bool,
        selection: Selection = EVERYTHING,
    ) -> JobSubscription:
        """The job's output from `offset` on, or a part of that, to be entered: `async with`."""
        return JobSubscription(
            self._jobs,
            self._watcher,
            job_id,
            encoder,
            offset=offset,
            stream=stream,
            follow=follow,
            selection=selection,
        )

    def stored_output(self, job_id: str, *, stream: int | None) -> StoredOutput:
        """What there is of the job's output, to be entered: `async with`."""
        return StoredOutput(self._jobs, self._watcher, job_id, stream)

    @property
    def keep_alive(self) -> KeepAlive:
        """The heartbeats of this worker's streams."""
        return self._watcher.keep_alive

    def follow_many(self, reader: ReaderOfMany, place: Place, *, follow: bool) -> ManyJobs:
        """The output of many jobs for one reader."""
        return ManyJobs(
            self._jobs,
            self._store,
            self._watcher,
            reader,
            place,
            at_once=self._max_followed_jobs,
            follow=follow,
        )
