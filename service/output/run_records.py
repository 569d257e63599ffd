"""Which record a writer has to write next, and when: no I/O."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from service.output.index import STDOUT, Record

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RECORD_EVERY_NS", "RunRecords"]

RECORD_EVERY_NS = 10_000_000
"""A record at least every 10 ms of output: what the times of replayed output are good for."""


class RunRecords:
    """The records of a log that is being written; `clock_ns` is what "10 ms" is told by.

    Attributes:
        count: how many there are.
        last: the last one, whose run has the byte that comes next unless another is due.
    """

    __slots__ = ("_clock_ns", "_due_ns", "count", "last")

    def __init__(
        self, clock_ns: Callable[[], int], count: int = 0, last: Record | None = None
    ) -> None:
        self._clock_ns = clock_ns
        self._due_ns = 0
        self.count = count
        self.last = last

    @property
    def last_output_s(self) -> float:
        """When the last byte came, by the clock; told up to 10 ms later than it was, and 0 when
        none came since this was made.
        """
        return self._due_ns / 1e9

    def is_due(self, stream: int, command: int) -> bool:
        """Whether a record has to be written before bytes of that stream of that command."""
        last = self.last
        return (
            last is None
            or last.stream != stream
            or last.command != command
            or self._clock_ns() >= self._due_ns
        )

    def next(self, end: int, stdout_end: int, stream: int, command: int) -> tuple[int, Record]:
        """The number of the record that is due, and the record, in a log of so many bytes."""
        own = stdout_end if stream == STDOUT else end - stdout_end
        number = self.count
        # A run that got no byte (no room) is rewritten, so that a full disk fills no index.
        if self.last is not None and self.last.offset == end:
            number -= 1
        return number, Record(end, own, time.time_ns(), command, stream)

    def wrote(self, number: int, record: Record) -> None:
        """It is in the index."""
        self.last = record
        self.count = number + 1
        self._due_ns = self._clock_ns() + RECORD_EVERY_NS
