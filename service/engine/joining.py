"""Which jobs of a stream of many are next, and where its reader is (`many_place`).

Changes are looked at in their order, up to the first job that joins and for which there is no room.
A job that is over stays in the place until the change of its end was looked at: else a reader that
comes back would take it for one that came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque

from service.engine.change_feed import ChangeFeed
from service.engine.many_place import Around, Backlog, Place
from service.engine.many_selection import JoiningJobs
from service.jobs.states import FINISHED
from service.jobs.visibility import Visibility
from service.store import Store


class Joining:
    """For one reader, who sees `visible`. `place` is what a record's cursor says."""

    def __init__(
        self,
        store: Store,
        feed: ChangeFeed,
        wanted: JoiningJobs,
        visible: Visibility,
        place: Place,
    ) -> None:
        self._store = store
        self._feed = feed
        self._wanted = wanted
        self._visible = visible
        self.place = place
        self._waiting: deque[int] = deque()
        self._over: dict[int, int] = {}  # the changes of the ends that are yet to be looked at
        self._until: int | None = None
        self._around: Around | None = None  # the place but for the job whose turn it is

    def begin(self) -> None:
        """Begin with the jobs that there are now. Raises: Unavailable."""
        selection = self._wanted.selection
        last, last_job, running = self._store.changes.begin(selection, self._visible)
        self.place.seq = last
        self.place.jobs = dict.fromkeys(running, 0)
        if selection.states & FINISHED:
            self.place.backlog = Backlog(0, last_job, last)

    def resume(self, *, until: int | None) -> None:
        """Go on at the place; behind the change `until` no job joins. Raises: Unavailable."""
        self._until = until
        ended = [number for number, offset in self.place.jobs.items() if offset is None]
        changes = self._store.changes.of_jobs(ended)
        self._over = {number: changes.get(number, 0) for number in ended}
        self._forget_over()
        self._waiting.extend(n for n, offset in self.place.jobs.items() if offset is not None)

    async def next(self, room: int) -> int | None:
        """The number of the next job, of which up to `room` are wanted now; None: there is none.

        Raises: Unavailable.
        """
        while not self._waiting and not self._look(room):  # noqa: ASYNC110 - see below
            await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
        if not self._waiting:
            self._look_back(room)
        return self._waiting.popleft() if self._waiting else None

    def not_now(self, number: int) -> None:
        """It is to be the next one again."""
        self._waiting.appendleft(number)

    # The place

    def begin_turn(self) -> None:
        """The records that follow are of another job than those before."""
        self._around = None

    def cursor(self, number: int, offset: int | None) -> str:
        """Where the reader is when the job whose turn it is was told up to `offset`; None: to its
        end.
        """
        if offset is None:
            return self.place.without(number, is_kept=number in self._over)
        if self._around is None:
            self._around = self.place.around(number)
        return self._around.at(offset)

    def told(self, number: int, offset: int) -> None:
        """The job was told up to there."""
        self.place.jobs[number] = offset

    def ends(self, number: int) -> None:
        """The end of the job is about to be told. Raises: Unavailable."""
        change = self._store.changes.of_jobs([number]).get(number, 0)
        if change > self.place.seq:
            self._over[number] = change

    def leave(self, number: int) -> None:
        """It isn't of interest any more."""
        if number in self._over:
            self.place.jobs[number] = None
        else:
            self.place.jobs.pop(number, None)

    # How

    def _look(self, room: int) -> bool:
        """Have those wait that have joined since; False: there may be more."""
        place = self.place
        if self._until is not None and place.seq >= self._until:
            return True
        step = self._feed.read(place.seq, self._visible)
        seq = step.until
        for told in step.found:
            record = told.change.record
            if record is None or record.seq in place.jobs or not self._wanted.joins(record):
                continue
            if len(self._waiting) >= room:
                seq = told.seq - 1
                break
            place.jobs[record.seq] = 0
            self._waiting.append(record.seq)
        place.seq = max(place.seq, seq)
        self._forget_over()
        return step.is_last

    def _look_back(self, room: int) -> None:
        """The same for those that were finished at the beginning."""
        place, backlog = self.place, self.place.backlog
        if backlog is None:
            return
        numbers = self._store.changes.finished_before(
            self._wanted.selection,
            self._visible,
            change=backlog.seq,
            after=backlog.after,
            last=backlog.last,
            limit=room,
        )
        for number in numbers:
            place.jobs[number] = 0
            self._waiting.append(number)
            backlog.after = number
        if len(numbers) < room:
            place.backlog = None

    def _forget_over(self) -> None:
        for number in [n for n, change in self._over.items() if change <= self.place.seq]:
            del self._over[number], self.place.jobs[number]
