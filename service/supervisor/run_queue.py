"""Whose turn is next, among the jobs that wait: higher priority first; within one, the principal of
whom the fewest jobs run, so that nobody starves the rest; within that, first come first served. A
job whose principal has as many jobs running as the job's ceiling allows is passed over.

Pure. A group is the jobs of one principal with one ceiling. A turn costs O(log n) of the groups
that wait, and O(1) of the jobs. Each level of priority has a heap of its groups, in which a rank
that has become too good is corrected when it comes to the top, and one that becomes better is
entered anew. A group at its ceiling leaves the heap when it comes to the top, and is entered again
when a job of its principal ends.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

# Ranks that a heap may keep beyond twice those that hold, before it is made anew.
_SLACK: Final = 16

Key = TypeVar("Key", bound=Hashable)
Group = tuple[str, int]
"""The principal, and how many of its jobs may run; 0: any number."""


class _Level(Generic[Key]):
    """The jobs of one priority that wait."""

    __slots__ = ("heap", "ranked", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[Group, OrderedDict[Key, int]] = {}  # group → job → its number
        self.heap: list[tuple[int, int, Group]] = []  # running, number of the first job, group
        self.ranked: dict[Group, tuple[int, int, Group]] = {}  # what holds of the heap

    def rank(self, group: Group, running: int) -> None:
        """Enter a group, of which some job waits, unless it stands there as well placed."""
        rank = running, next(iter(self.waiting[group].values())), group
        if rank < self.ranked.get(group, (running + 1, 0, group)):
            self.ranked[group] = rank
            heapq.heappush(self.heap, rank)
            if len(self.heap) > 2 * len(self.ranked) + _SLACK:
                self.heap = list(self.ranked.values())
                heapq.heapify(self.heap)

    def best(self, running: Mapping[str, int]) -> Group | None:
        """The group whose job is next; None when all are at their ceilings."""
        while self.heap:
            top = self.heap[0]
            group = top[2]
            if self.ranked.get(group) != top:
                heapq.heappop(self.heap)
                continue
            count = running.get(group[0], 0)
            if 0 < group[1] <= count:
                heapq.heappop(self.heap)
                del self.ranked[group]
                continue
            rank = count, next(iter(self.waiting[group].values())), group
            if rank == top:
                return group
            self.ranked[group] = rank
            heapq.heapreplace(self.heap, rank)
        return None

    def drop(self, group: Group) -> None:
        """No job of this group waits any more."""
        del self.waiting[group]
        self.ranked.pop(group, None)


class Turns(Generic[Key]):
    """Those who wait, and how many jobs of each principal have their turn."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level[Key]] = {}
        self._places: dict[Key, tuple[int, Group]] = {}
        self._groups: dict[str, Counter[int]] = {}  # principal → ceiling → jobs that wait
        self._running: dict[str, int] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def waiting_of(self, principal: str) -> int:
        """How many jobs of this principal wait."""
        groups = self._groups.get(principal)
        return groups.total() if groups else 0

    def may_run(self, principal: str, most: int) -> bool:
        """Whether one more job of this principal may run, of whom `most` may; 0: any number."""
        return not 0 < most <= self._running.get(principal, 0)

    def wait(self, key: Key, *, priority: int, principal: str, most: int = 0) -> None:
        """One more waits, behind those like it."""
        group = principal, most
        level = self._levels.setdefault(priority, _Level())
        level.waiting.setdefault(group, OrderedDict())[key] = next(self._numbers)
        level.rank(group, self._running.get(principal, 0))
        self._places[key] = priority, group
        self._groups.setdefault(principal, Counter())[most] += 1

    def leave(self, key: Key) -> None:
        """This one waits no more; nothing happens if it didn't."""
        if (place := self._places.pop(key, None)) is None:
            return
        priority, group = place
        level = self._levels[priority]
        jobs = level.waiting[group]
        del jobs[key]
        if not jobs:
            level.drop(group)
            if not level.waiting:
                del self._levels[priority]
        self._forget(group)

    def _forget(self, group: Group) -> None:
        principal, most = group
        groups = self._groups[principal]
        groups[most] -= 1
        if not groups[most]:
            del groups[most]
            if not groups:
                del self._groups[principal]

    def next(self) -> Key | None:
        """The one whose turn it is; None when nobody waits who may run."""
        for priority in sorted(self._levels, reverse=True):
            level = self._levels[priority]
            if (group := level.best(self._running)) is not None:
                return next(iter(level.waiting[group]))
        return None

    def take(self) -> Key:
        """The same; it waits no more. Raises: IndexError, when nobody waits who may run."""
        if (key := self.next()) is None:
            raise IndexError("nobody waits who may run")
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
        groups = [(principal, most) for most in self._groups.get(principal, ())]
        for level in self._levels.values():
            for group in groups:
                if group in level.waiting:
                    level.rank(group, left)
