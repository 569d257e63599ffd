"""Lists whose selections may have to look at every record: by another connection, in its thread.

A total of 100 000 jobs by the beginning of their names takes half a second, and SQLite lets go of
the interpreter meanwhile. What is counted beforehand, all jobs of a state, is quicker done at once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from service.errors import Unavailable
from service.jobs.visibility import Visibility
from service.store.lists import Lists, Page, Query
from service.store.reading import Reading, translated
from service.store.selection import Selection, is_by_state_alone

# SQLite's instructions between two looks at whether the search is still wanted: about 0.1 ms.
_ASKED_EVERY: Final = 10_000

_T = TypeVar("_T")


class Searches:
    """For one event loop. What was stored before a search is found by it.

    Attributes:
        near: the same for who can't wait, by the connection of the loop's thread.
    """

    def __init__(self, path: Path, near: Lists) -> None:
        self.near = near
        self._path = path
        self._thread = ThreadPoolExecutor(1, "searches")
        self._reading: Reading | None = None
        self._is_closed = False

    async def page(
        self, query: Query, visible: Visibility, *, full: bool, used: Mapping[str, int]
    ) -> Page:
        """See `Lists.page`. Raises: InsufficientStorage, Unavailable."""
        if is_by_state_alone(query):
            return self.near.page(query, visible, full=full, used=used)
        return await self._aside(lambda lists: lists.page(query, visible, full=full, used=used))

    async def ids(
        self, selection: Selection, visible: Visibility, *, after: int, last: int, limit: int
    ) -> list[tuple[int, str]]:
        """See `Lists.ids`. Raises: InsufficientStorage, Unavailable."""
        return await self._aside(
            lambda lists: lists.ids(selection, visible, after=after, last=last, limit=limit)
        )

    def close(self) -> None:
        """Ends the search that is under way; the others are never begun."""
        self._is_closed = True
        self._thread.shutdown(cancel_futures=True)
        if self._reading is not None:
            self._reading.close()

    async def _aside(self, search: Callable[[Lists], _T]) -> _T:
        if self._is_closed:
            raise Unavailable("This worker is stopping.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, search)

    def _do(self, search: Callable[[Lists], _T]) -> _T:
        with translated():
            if self._reading is None:
                self._reading = Reading(self._connect())
            return search(Lists(self._reading))

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        # Closed by another thread, when this one has ended.
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        db.set_progress_handler(lambda: self._is_closed, _ASKED_EVERY)
        return db
