"""The changes of jobs for all who follow them in this worker: each is read once, and kept for them
as long as it is among the latest. Whoever is further behind reads the records by itself.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog

from service.engine.records_watch import RecordsWatch
from service.errors import JobrunnerError, Unavailable
from service.jobs.visibility import ALL, Visibility
from service.store import Change, Store, sees

# Changes that are read, and told, in one step.
BATCH: Final = 100
# Changes that are kept, and bytes of their specs and views.
_KEPT: Final = 1000
_KEPT_BYTES: Final = 8 << 20

_log = structlog.get_logger("jobrunner.engine")


class Told(msgspec.Struct):
    """A change as all followers share it. `body`: what the first of them made of it for callers."""

    change: Change
    body: bytes | None = None

    @property
    def seq(self) -> int:
        return self.change.seq


class Step(msgspec.Struct, frozen=True):
    """All visible changes up to the number `until`. `is_last`: there was none behind it."""

    found: list[Told]
    until: int
    is_last: bool


class ChangeFeed:
    """One in each worker. It watches the records while somebody is `following`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watch = RecordsWatch(store.log_path, self._look)
        self._followers = 0
        self._recent: deque[Told] = deque()
        self._recent_bytes = 0
        self._begin = 0  # the number behind which `_recent` has all changes
        self._head = 0  # up to which it has them
        self._news = asyncio.Event()
        self._listeners: set[Callable[[], None]] = set()
        self._is_closed = False

    @contextmanager
    def following(self, listener: Callable[[], None] | None = None) -> Iterator[None]:
        """While somebody reads or waits. `listener` is called whenever there is something new, and
        when this worker stops. Raises: Unavailable.
        """
        self.check_open()
        if not self._followers:
            self._begin = self._head = self._store.changes.last()
            self._watch.open()
        self._followers += 1
        if listener is not None:
            self._listeners.add(listener)
        try:
            yield
        finally:
            self._followers -= 1
            if listener is not None:
                self._listeners.discard(listener)
            if not self._followers:
                self._watch.close()
                self._recent.clear()
                self._recent_bytes = 0

    def close(self) -> None:
        """End all waiting with Unavailable."""
        self._is_closed = True
        self._watch.close()
        self._wake()

    def last(self) -> int:
        """The number of the last change that is stored. Raises: Unavailable."""
        return self._store.changes.last()

    def read(self, after: int, visible: Visibility) -> Step:
        """The next changes behind `after`, for one of those who follow. Raises: Unavailable."""
        if after < self._begin:
            return self.read_stored(after, visible)
        first = bisect_right(self._recent, after, key=_number)
        found = [self._recent[i] for i in range(first, min(first + BATCH, len(self._recent)))]
        is_last = first + BATCH >= len(self._recent)
        until = self._head if is_last else found[-1].seq
        seen = [told for told in found if sees(visible, told.change.principal)]
        return Step(seen, max(until, after), is_last)

    def read_stored(self, after: int, visible: Visibility) -> Step:
        """The same for anybody, as the records are now. Raises: Unavailable."""
        step = self._store.changes.behind(after, visible, limit=BATCH)
        return Step([Told(change) for change in step.found], step.until, step.is_last)

    async def wait(self, after: int) -> None:
        """Return once there are changes behind `after`. Raises: Unavailable, when this worker
        stops.
        """
        while self._head <= after and not self._is_closed:
            await self._news.wait()
        self.check_open()

    def _look(self) -> bool:
        before = self._head
        try:
            while True:
                step = self._store.changes.behind(self._head, ALL, limit=BATCH)
                self._keep([Told(change) for change in step.found])
                self._head = step.until
                if step.is_last:
                    break
        except JobrunnerError as exc:
            _log.warning("changes_not_read", why=exc.detail)
        if self._head > before:
            self._wake()
        return self._head > before

    def _keep(self, found: list[Told]) -> None:
        self._recent += found
        self._recent_bytes += sum(map(_size, found))
        while len(self._recent) > _KEPT or (
            self._recent_bytes > _KEPT_BYTES and len(self._recent) > 1
        ):
            dropped = self._recent.popleft()
            self._recent_bytes -= _size(dropped)
            self._begin = dropped.seq

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
        for listener in list(self._listeners):
            listener()

    def check_open(self) -> None:
        """Raises: Unavailable, when this worker stops."""
        if self._is_closed:
            raise Unavailable("This worker is stopping.")


def _number(told: Told) -> int:
    return told.seq


def _size(told: Told) -> int:
    record = told.change.record
    return 0 if record is None else len(record.spec)
