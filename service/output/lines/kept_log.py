"""The bytes of a log that are kept, without the gap: what lines are looked for in.

A *position* counts kept bytes of both streams. What lies on one side of the gap and what lies on
the other are two lines (`break_at`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.output.files import READ_BYTES

if TYPE_CHECKING:
    from service.output.index import LogState
    from service.output.reader import LogReader

__all__ = ["KeptLog"]


class KeptLog:
    """The log as `state` tells of it. Who reads one that drops bytes looks at its gap afterwards.

    Attributes:
        size: how many bytes are kept.
        break_at: the position of the gap; 0: there is none.
    """

    __slots__ = ("_dropped", "_reader", "break_at", "size", "state")

    def __init__(self, reader: LogReader, state: LogState) -> None:
        start, end = state.gap.of(None)
        self._reader = reader
        self._dropped = end - start
        self.state = state
        self.size = state.end - self._dropped
        self.break_at = start if end else 0

    def offset(self, position: int) -> int:
        """The offset of the byte there; of the end, that of the end."""
        if self._dropped and position >= self.break_at:
            return position + self._dropped
        return position

    def position(self, offset: int) -> int:
        """The position of the byte at `offset`, or of the first one behind it that is kept."""
        if self._dropped and offset > self.break_at:
            return max(self.break_at, offset - self._dropped)
        return offset

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from one position to before another, cut at both ends of the log.

        Raises:
            CorruptLog: there are fewer.
            OSError: the disk fails.
        """
        begin, end = max(begin, 0), min(end, self.size)
        pieces = []
        while begin < end:
            stop = self.break_at if begin < self.break_at < end else end
            place = self.offset(begin)
            size = min(READ_BYTES, stop - begin)
            data = self._reader.read(place, size, end=self.state.end)
            pieces.append(data)
            begin += len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
