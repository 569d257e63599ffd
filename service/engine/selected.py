"""Killing and cleaning the jobs of a selection: some at a time, and others are served meanwhile.

Rules
1. Of the jobs that there are when the request comes: one that is submitted meanwhile isn't touched.
2. Each job is touched as by a request of its own. What couldn't be done to one, or was too late, is
   told of that one, and stops no other.
3. When the records or the supervisor can't be reached, or this worker stops, the rest is left for
   another request; nothing that was done is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from service.engine.cleaning import Cleaning
from service.engine.kills import Kills
from service.errors import FilesLeft, JobrunnerError
from service.jobs.states import FINISHED, LIVE, State
from service.jobs.visibility import Visibility
from service.store import Selection, Store

# Jobs that are killed at a time, and cleaned in one transaction: some milliseconds of the loop.
_KILLED_AT_ONCE: Final = 50
_CLEANED_AT_ONCE: Final = 100

_GONE: Final = "It was cleaned meanwhile."
_ENDED: Final = "It had ended by itself."


class Untouched(msgspec.Struct, frozen=True):
    """A job to which nothing was done; its state, None when it is gone."""

    id: str
    state: State | None
    why: str


class Touched(msgspec.Struct):
    """What became of the jobs of a selection. `has_more`: some of them weren't come to."""

    ids: list[str] = msgspec.field(default_factory=list)
    untouched: list[Untouched] = msgspec.field(default_factory=list)
    has_more: bool = False


class SelectedJobs:
    """One in each worker. `is_closing`: whether it stops."""

    def __init__(
        self, store: Store, kills: Kills, cleaning: Cleaning, is_closing: Callable[[], bool]
    ) -> None:
        self._store = store
        self._kills = kills
        self._cleaning = cleaning
        self._is_closing = is_closing

    async def kill(
        self,
        selection: Selection,
        visible: Visibility,
        *,
        signal: int,
        grace_s: float | None,
        limit: int,
        on_touch: Callable[[str], None],
    ) -> Touched:
        """Kill at most `limit` of the live jobs of a selection that are `visible`. `on_touch` is
        called with each, just before.

        Raises: Unavailable, when none could be killed.
        """
        touched = Touched()
        async for batch in self._batches(selection, visible, limit, _KILLED_AT_ONCE, touched):
            requests = (self._kill(job_id, signal, grace_s, on_touch) for job_id in batch)
            failures = await asyncio.gather(*requests)
            for job_id, failure in zip(batch, failures, strict=True):
                if isinstance(failure, JobrunnerError):
                    self._failed(touched, job_id, failure)
                elif failure is None:
                    touched.ids.append(job_id)
                else:
                    touched.untouched.append(failure)
        return touched

    async def clean(
        self,
        selection: Selection,
        visible: Visibility,
        *,
        limit: int,
        on_touch: Callable[[str], None],
    ) -> Touched:
        """Clean at most `limit` of the finished jobs of a selection that are `visible`. `on_touch`
        is called with each, once it is cleaned.

        Raises: InsufficientStorage, Unavailable, when none could be cleaned.
        """
        touched = Touched()
        async for batch in self._batches(selection, visible, limit, _CLEANED_AT_ONCE, touched):
            try:
                cleaned = await self._cleaning.clean(batch)
            except JobrunnerError as exc:
                for job_id in batch:
                    self._failed(touched, job_id, exc)
                continue
            for job_id in cleaned:
                on_touch(job_id)
            touched.ids += cleaned
            for job_id in sorted(set(batch) - set(cleaned)):
                left = self._store.finished.leftover(job_id)
                why = _GONE if left is None else FilesLeft(job_id, left.path, left.why).detail
                touched.untouched.append(Untouched(job_id, self._store.state_of(job_id), why))
        return touched

    async def _kill(
        self, job_id: str, signal: int, grace_s: float | None, on_touch: Callable[[str], None]
    ) -> Untouched | JobrunnerError | None:
        try:
            state = self._store.state_of(job_id)
            if state in LIVE:
                on_touch(job_id)
                state = await self._kills.request(job_id, signal, grace_s)
            if state is None:
                return Untouched(job_id, None, _GONE)
            if state in FINISHED and self._ended_by_itself(job_id):
                return Untouched(job_id, state, _ENDED)
        except JobrunnerError as exc:
            return exc
        return None

    def _ended_by_itself(self, job_id: str) -> bool:
        record = self._store.get(job_id)
        return record is not None and record.kill is None

    def _failed(self, touched: Touched, job_id: str, failure: JobrunnerError) -> None:
        if not touched.ids and not touched.untouched:
            raise failure
        touched.untouched.append(Untouched(job_id, self._state(job_id), failure.detail))
        touched.has_more = True

    def _state(self, job_id: str) -> State | None:
        try:
            return self._store.state_of(job_id)
        except JobrunnerError:
            return None

    async def _batches(
        self, selection: Selection, visible: Visibility, limit: int, size: int, touched: Touched
    ) -> AsyncIterator[list[str]]:
        searches = self._store.searches
        after, last = 0, searches.near.last_seq()
        while True:
            wanted = min(size, limit)
            found = await searches.ids(
                selection, visible, after=after, last=last, limit=max(1, wanted)
            )
            if not found:
                return
            if not wanted or self._is_closing() or touched.has_more:
                touched.has_more = True
                return
            yield [job_id for _, job_id in found]
            after, limit = found[-1][0], limit - len(found)
