"""The run queue: which waiting job gets the next run slot.

Order
1. Higher priority first.
2. Within a priority, the principal that has the fewest running jobs (fair share).
3. Within that, first come first served.
A job whose principal has as many running jobs as the job's limit allows is passed over.

Pure. A group is the jobs of one principal with one limit. Finding the next job costs O(log n) of
the waiting groups. Each priority has a lazy-deletion heap of its groups: a stale entry, of which
the rank has become worse, is re-ranked when it comes to the top; a rank that becomes better is
pushed anew. A group at its limit is dropped when it comes to the top, and pushed again when a job
of its principal ends.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

# Stale entries that a heap may have beyond as many as live ones, before it is rebuilt.
_SLACK: Final = 16

Key = TypeVar("Key", bound=Hashable)
Group = tuple[str, int]
"""The principal, and how many of its jobs may run; 0: any number."""


class _Level(Generic[Key]):
    """The waiting jobs of one priority."""

    __slots__ = ("heap", "ranked", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[Group, OrderedDict[Key, int]] = {}  # group → job → its number
        self.heap: list[tuple[int, int, Group]] = []  # running, number of the first job, group
        self.ranked: dict[Group, tuple[int, int, Group]] = {}  # the live entry of each group

    def insert(self, group: Group, key: Key, number: int) -> None:
        """One more job of a group waits, in the order of the numbers."""
        jobs = self.waiting.setdefault(group, OrderedDict())
        is_last = not jobs or number > next(reversed(jobs.values()))
        jobs[key] = number
        if not is_last:
            # Its priority was changed: those that came after it, and stand before it, move on.
            for other in [other for other, its in jobs.items() if its > number]:
                jobs.move_to_end(other)

    def rank(self, group: Group, running: int) -> None:
        """Push a group that has a waiting job, unless its live entry ranks as well."""
        rank = running, next(iter(self.waiting[group].values())), group
        if rank < self.ranked.get(group, (running + 1, 0, group)):
            self.ranked[group] = rank
            heapq.heappush(self.heap, rank)
            if len(self.heap) > 2 * len(self.ranked) + _SLACK:
                self.heap = list(self.ranked.values())
                heapq.heapify(self.heap)

    def best(self, running: Mapping[str, int]) -> Group | None:
        """The group whose job is next; None when all are at their limits."""
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
        """The group has no waiting job any more."""
        del self.waiting[group]
        self.ranked.pop(group, None)


class RunQueue(Generic[Key]):
    """The waiting jobs, and how many run slots each principal has."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level[Key]] = {}
        self._places: dict[Key, tuple[int, Group]] = {}
        self._groups: dict[str, Counter[int]] = {}  # principal → limit → waiting jobs
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

    def is_below_limit(self, principal: str, max_running: int) -> bool:
        """Whether a principal that may have `max_running` run slots (0: any number) may have one
        more.
        """
        return not 0 < max_running <= self._running.get(principal, 0)

    def add(self, key: Key, *, priority: int, principal: str, max_running: int = 0) -> None:
        """One more job waits, behind those like it."""
        self._insert(
            key,
            next(self._numbers),
            priority=priority,
            principal=principal,
            max_running=max_running,
        )

    def _insert(
        self, key: Key, number: int, *, priority: int, principal: str, max_running: int
    ) -> None:
        group = principal, max_running
        level = self._levels.setdefault(priority, _Level())
        level.insert(group, key, number)
        level.rank(group, self._running.get(principal, 0))
        self._places[key] = priority, group
        self._groups.setdefault(principal, Counter())[max_running] += 1

    def set_priority(self, key: Key, priority: int) -> None:
        """A job that waits has this priority from now on; among those of it that are like it, it
        stands where it would stand had it come with it.
        """
        before, group = self._places[key]
        number = self._levels[before].waiting[group][key]
        principal, max_running = group
        self.discard(key)
        self._insert(key, number, priority=priority, principal=principal, max_running=max_running)

    def discard(self, key: Key) -> None:
        """This job doesn't wait any more; nothing happens if it didn't."""
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
        principal, max_running = group
        groups = self._groups[principal]
        groups[max_running] -= 1
        if not groups[max_running]:
            del groups[max_running]
            if not groups:
                del self._groups[principal]

    def peek(self) -> Key | None:
        """The job that is next; None when no job waits that may run."""
        for priority in sorted(self._levels, reverse=True):
            level = self._levels[priority]
            if (group := level.best(self._running)) is not None:
                return next(iter(level.waiting[group]))
        return None

    def pop(self) -> Key | None:
        """The same; it doesn't wait any more."""
        if (key := self.peek()) is not None:
            self.discard(key)
        return key

    def slot_taken(self, principal: str) -> None:
        """This principal has one more run slot."""
        self._running[principal] = self._running.get(principal, 0) + 1

    def slot_freed(self, principal: str) -> None:
        """It has one less."""
        left = self._running.pop(principal) - 1
        if left:
            self._running[principal] = left
        groups = [(principal, most) for most in self._groups.get(principal, ())]
        for level in self._levels.values():
            for group in groups:
                if group in level.waiting:
                    level.rank(group, left)
