"""Whose turn is next, among the jobs that wait: higher priority first; within one, the principal of
whom the fewest jobs run, so that nobody starves the rest; within that, first come first served.

Pure. A turn costs O(log n) of the principals that wait, and O(1) of the jobs: each level of
priority has a heap of its principals, in which a rank that has become too good is corrected when it
comes to the top, and one that becomes better is entered anew.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

# Ranks that a heap may keep beyond twice those that hold, before it is made anew.
_SLACK: Final = 16

Key = TypeVar("Key", bound=Hashable)


class _Level(Generic[Key]):
    """The jobs of one priority that wait."""

    __slots__ = ("heap", "ranked", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[str, OrderedDict[Key, int]] = {}  # principal → job → its number
        self.heap: list[tuple[int, int, str]] = []  # running, number of the first job, principal
        self.ranked: dict[str, tuple[int, int, str]] = {}  # what holds of the heap

    def rank(self, principal: str, running: int) -> None:
        """Enter a principal, of whom some job waits, unless it stands there as well placed."""
        rank = running, next(iter(self.waiting[principal].values())), principal
        if rank < self.ranked.get(principal, (running + 1, 0, "")):
            self.ranked[principal] = rank
            heapq.heappush(self.heap, rank)
            if len(self.heap) > 2 * len(self.ranked) + _SLACK:
                self.heap = list(self.ranked.values())
                heapq.heapify(self.heap)

    def best(self, running: Mapping[str, int]) -> str:
        """The principal whose job is next."""
        while True:
            top = self.heap[0]
            principal = top[2]
            if self.ranked.get(principal) != top:
                heapq.heappop(self.heap)
                continue
            first = next(iter(self.waiting[principal].values()))
            rank = running.get(principal, 0), first, principal
            if rank == top:
                return principal
            self.ranked[principal] = rank
            heapq.heapreplace(self.heap, rank)

    def drop(self, principal: str) -> None:
        """No job of this principal waits any more."""
        del self.waiting[principal], self.ranked[principal]


class Turns(Generic[Key]):
    """Those who wait, and how many jobs of each principal have their turn."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level[Key]] = {}
        self._places: dict[Key, tuple[int, str]] = {}
        self._running: dict[str, int] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def wait(self, key: Key, *, priority: int, principal: str) -> None:
        """One more waits, behind those like it."""
        level = self._levels.setdefault(priority, _Level())
        level.waiting.setdefault(principal, OrderedDict())[key] = next(self._numbers)
        level.rank(principal, self._running.get(principal, 0))
        self._places[key] = priority, principal

    def leave(self, key: Key) -> None:
        """This one waits no more; nothing happens if it didn't."""
        if (place := self._places.pop(key, None)) is None:
            return
        priority, principal = place
        level = self._levels[priority]
        jobs = level.waiting[principal]
        del jobs[key]
        if not jobs:
            level.drop(principal)
            if not level.waiting:
                del self._levels[priority]

    def take(self) -> Key:
        """The one whose turn it is; it waits no more. Raises: IndexError, when nobody waits."""
        if not self._levels:
            raise IndexError("nobody waits")
        level = self._levels[max(self._levels)]
        key = next(iter(level.waiting[level.best(self._running)]))
        self.leave(key)
        return key

    def began(self, principal: str) -> None:
        """One more job of this principal has its turn."""
        self._running[principal] = self._running.get(principal, 0) + 1

    def ended(self, principal: str) -> None:
        """One less has."""
        left = self._running.pop(principal) - 1
        if left:
            self._running[principal] = left
        for level in self._levels.values():
            if principal in level.waiting:
                level.rank(principal, left)
