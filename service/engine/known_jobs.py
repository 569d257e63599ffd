"""What there is of a job now, and how to wait until that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.engine.change_feed import ChangeFeed
from service.engine.driver import Driver
from service.engine.session import KeptSession
from service.engine.waiters import Waiters
from service.errors import InsufficientStorage, Unavailable, UnknownJob
from service.files.job import JobFiles, job_files
from service.jobs.record import JobRecord
from service.jobs.states import LIVE, State
from service.jobs.visibility import Sight, Visibility
from service.link.capabilities import LOG_ON_DEMAND
from service.settings import Settings
from service.store import Store


class KnownJobs:
    """Of all workers; what this one drives is told as it will be stored.

    Attributes:
        feed: the changes of all jobs.
        is_closing: this worker is stopping.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        session: KeptSession,
        driver: Driver,
        waiters: Waiters,
    ) -> None:
        self._settings = settings
        self._store = store
        self._session = session
        self._driver = driver
        self._waiters = waiters
        self.is_closing = False
        self.feed = ChangeFeed(store)

    def close(self) -> None:
        """End all waiting with `Unavailable`."""
        self.is_closing = True
        self.feed.close()
        self._waiters.notify_all()

    def check_open(self) -> None:
        """Raises: Unavailable."""
        if self.is_closing:
            raise Unavailable("This worker is stopping.")

    def show(self, job_id: str) -> JobRecord:
        """Raises: UnknownJob, Unavailable."""
        self._driver.settle()
        record = self._store.get(job_id)
        if record is None:
            raise UnknownJob(job_id)
        return record

    def state(self, job_id: str) -> State:
        """Raises: UnknownJob, Unavailable."""
        self._driver.settle()
        state = self._store.state_of(job_id)
        if state is None:
            raise UnknownJob(job_id)
        return state

    def is_live(self, job_id: str) -> bool:
        """False as well for one that is unknown. Raises: Unavailable."""
        return self._driver.drives(job_id) or self._store.state_of(job_id) in LIVE

    def output_end(self, job_id: str) -> int:
        """The bytes of output that the job's record tells of: 0 until it is finished.

        Raises: Unavailable.
        """
        return self._store.output_end_of(job_id)

    def sight(self, job_id: str, visible: Visibility) -> Sight:
        """What a caller who sees `visible` has to do with that ID. Raises: Unavailable."""
        return self._store.lists.sight(job_id, visible)

    def files(self, job_id: str) -> JobFiles:
        """Where the job's files are; its directory exists from its first command on, its log from
        its first byte on, or from `make_log`.
        """
        return job_files(self._settings.state_dir, job_id)

    async def wait(self, job_id: str, timeout_s: float | None = None) -> JobRecord:
        """The job once it is finished, or as it is after `timeout_s`.

        Raises: UnknownJob; Unavailable, when this worker stops meanwhile.
        """
        read: JobRecord | None = None

        def is_over() -> bool:
            nonlocal read
            if self._driver.drives(job_id):
                return False
            read = self._store.get(job_id)
            return read is None or read.state not in LIVE

        try:
            async with asyncio.timeout(timeout_s):
                await self.wait_until(job_id, is_over, to_end=True)
        except TimeoutError:
            return self.show(job_id)  # as it is
        if read is None:
            raise UnknownJob(job_id)
        return read

    async def wait_finished(self, job_id: str) -> None:
        """Return once the job is finished, or gone. Raises: Unavailable."""
        await self.wait_until(job_id, lambda: not self.is_live(job_id), to_end=True)

    async def wait_started(self, job_id: str) -> None:
        """Return once the job isn't pending any more. Raises: UnknownJob, when it is cleaned;
        Unavailable.
        """
        await self.wait_until(job_id, lambda: self.state(job_id) is not State.PENDING, to_end=False)

    async def wait_until(
        self, job_id: str, is_reached: Callable[[], bool], *, to_end: bool
    ) -> None:
        """Return once it is reached: looked at after each change of the job, or (`to_end`) when it
        is finished. Raises: Unavailable; what `is_reached` raises.
        """
        with self._waiters.subscribed(job_id, to_end=to_end) as changed:
            while True:
                changed.clear()
                if is_reached():
                    return
                self.check_open()
                await changed.wait()

    async def make_log(self, job_id: str) -> None:
        """Have the log of a running job made, of which no byte has come yet; nothing happens when
        the job is over.

        Raises: InsufficientStorage; Unavailable.
        """
        await self._session.current()
        if LOG_ON_DEMAND not in self._session.hello["capabilities"]:
            return  # an older release makes it at once
        reply = await self._session.request({"type": "make_log", "job": job_id})
        if why := reply.get("why"):
            raise InsufficientStorage(f"The log of {job_id} can't be made: {why}.")
