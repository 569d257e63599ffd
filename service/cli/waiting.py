"""The ends of jobs, waited for until a time, whether the service answers or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from service.client.sync_client import Job
from service.jobs.views import JobView


class Waiting:
    """In threads, each for jobs one after the other. Those that go on end with the client."""

    def __init__(self, groups: Sequence[Sequence[Job]]) -> None:
        self._came: SimpleQueue[JobView | Exception] = SimpleQueue()
        for jobs in groups:
            threading.Thread(target=self._wait, args=(jobs,), daemon=True).start()

    def first(self, count: int, timeout: float | None) -> list[JobView]:
        """The first jobs that ended, fewer when the time is over. Raises: what the client does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        views: list[JobView] = []
        while len(views) < count:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                came = self._came.get(timeout=left)
            except Empty:
                break
            if isinstance(came, Exception):
                raise came
            views.append(came)
        return views

    def _wait(self, jobs: Sequence[Job]) -> None:
        try:
            for job in jobs:
                self._came.put(job.wait())
        except Exception as exc:  # noqa: BLE001 - raised again where it is waited for
            self._came.put(exc)
