"""The orders of a list, and the place of a job in one.

A place is a value and the job's number, which no other job has. So a page begins behind the last
job of the one before it, whatever came or went in between.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from service.store.selection import Condition


class Order(StrEnum):
    """`oldest` and `newest` are by submission, the others by what was used, the most first."""

    OLDEST = "oldest"
    NEWEST = "newest"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"

    @property
    def is_by_use(self) -> bool:
        return self in _MEASURES

    @property
    def measure(self) -> str:
        """The measure in SQL; of finished jobs it is what `by_measure` holds."""
        return _MEASURES[self][0] if self.is_by_use else "0"

    @property
    def by_measure(self) -> str | None:
        """The index of finished jobs by that measure; None for an order by number."""
        return _MEASURES[self][1] if self.is_by_use else None

    @property
    def sql(self) -> str:
        """What stands behind ORDER BY."""
        if self.is_by_use:
            return f"{self.measure} DESC, jobs.seq DESC"
        return "jobs.seq" if self is Order.OLDEST else "jobs.seq DESC"

    def behind(self, position: Position | None) -> tuple[Condition, ...]:
        """Finished jobs behind a place of this order; for an order by number live ones as well."""
        if position is None:
            return ()
        if self.is_by_use:
            after = (position.value, position.seq)
            return (Condition(f"({self.measure}, jobs.seq) < (?, ?)", after),)
        sign = ">" if self is Order.OLDEST else "<"
        return (Condition(f"jobs.seq {sign} ?", (position.seq,)),)

    def rank(self, position: Position) -> tuple[int, int]:
        """What sorts places into this order."""
        if self is Order.OLDEST:
            return 0, position.seq
        return -position.value, -position.seq


_MEASURES = {
    Order.CPU: ("cpu_us", "jobs_by_cpu"),
    Order.MEMORY: ("memory_bytes", "jobs_by_memory"),
    Order.OUTPUT: ("coalesce(output_bytes, 0)", "jobs_by_output"),
}


class Position(msgspec.Struct, frozen=True):
    """The place of a job; `value` is 0 in an order by number."""

    value: int
    seq: int
