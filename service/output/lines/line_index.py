"""The index of lines of one log: made in steps by who needs it, kept in a file beside the log.

1. It is made by one pass from the beginning, in threads, a step at a time, and goes on where it
   ended when the log has grown.
2. The file is shared by all processes: each takes over what others have added, and adds what it
   has found. Where it can't be written the index is kept in memory alone.
3. No entry is used before its checksum is seen to fit. One that doesn't has all made anew. Behind a
   gap that grows the entries are made anew, too.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from service.errors import CorruptLog
from service.files.regular import open_regular
from service.output.lines.checkpoints import CHECKED_BYTES, ENTRY_BYTES, Checkpoint, seed_of
from service.output.lines.kept_log import KeptLog
from service.output.lines.rows import BLOCK_BYTES
from service.output.lines.sgr import MAX_SEQUENCE_BYTES, after

if TYPE_CHECKING:
    from service.output.index import LogState
    from service.output.reader import LogReader

__all__ = ["LINES_NAME", "STEP_BYTES", "LineIndex"]

LINES_NAME: Final = "output.lines"

STEP_BYTES: Final = 16 * 1024 * 1024
"""The most that is looked through at once, before it is seen whether anybody still waits."""

_READ_BLOCKS: Final = 4
"""Blocks that are read at once; others run while the kernel reads."""


class LineIndex:
    """That of one log, for the threads of one process."""

    def __init__(self, directory: str | os.PathLike[str], reader: LogReader) -> None:
        self._path = os.path.join(directory, LINES_NAME)
        self._reader = reader
        self._identity = reader.identity
        self._advancing = threading.Lock()
        self._lock = threading.Lock()  # of what is in memory
        self._entries = bytearray()
        self._dropped = 0  # by the gap that the entries know
        self._is_fresh = False  # the file is not trusted any more

    def known(self, log: KeptLog) -> int:
        """Up to which position of `log` lines are numbered, by this process or by others."""
        with self._lock:
            self._forget_behind_gap(log)
            if self._count * BLOCK_BYTES < log.size:
                self._take_over(log)
            return min(self._count * BLOCK_BYTES, log.size)

    def advance(self, state: LogState) -> None:
        """Go on to the end of the log as `state` tells of it, or one step.

        Raises:
            CorruptLog: the log is shorter.
            OSError: the disk fails.
        """
        log = KeptLog(self._reader, state)
        with self._advancing:
            with self._lock:
                self._forget_behind_gap(log)
                self._take_over(log)
                first = count = self._count
                found = self._checkpoint(log, count - 1) if count else None
                if count and found is None:
                    self._start_anew()
                    first = count = 0
            added = bytearray()
            until = min(log.size // BLOCK_BYTES + 1, count + STEP_BYTES // BLOCK_BYTES)
            if found is None:
                found = Checkpoint()
                added += found.pack(self._seed(log, 0), b"")
                count = 1
            while count < until:
                passed = _passed(log, found, min(_READ_BLOCKS, until - count))
                for each, before in passed:
                    added += each.pack(self._seed(log, each.position), before)
                count += len(passed)
                found = passed[-1][0]
            if state.limit and not state.closed and self._reader.state().gap != state.gap:
                return  # what was read may have been anything
            with self._lock:
                if added and self._count == first:
                    self._keep(added)

    def checkpoint(self, log: KeptLog, number: int) -> Checkpoint | None:
        """The one at `number` times 64 KiB; None: it isn't known."""
        with self._lock:
            self._forget_behind_gap(log)
            found = self._checkpoint(log, number)
            if found is None and number < self._count and number * BLOCK_BYTES <= log.size:
                self._start_anew()
            return found

    def before_line(self, log: KeptLog, line: int) -> Checkpoint | None:
        """The last one before that line begins; None: none is known, or it is damaged."""
        with self._lock:
            self._forget_behind_gap(log)
            try:
                number = bisect_left(range(self._count), line, key=lambda n: self._line(log, n)) - 1
            except CorruptLog:
                self._start_anew()
                return None
            return self._checkpoint(log, max(number, 0))

    @property
    def _count(self) -> int:
        return len(self._entries) // ENTRY_BYTES

    def _line(self, log: KeptLog, number: int) -> int:
        found = self._checkpoint(log, number)
        if found is None:
            raise CorruptLog("the index of lines is damaged")
        return found.line

    def _checkpoint(self, log: KeptLog, number: int) -> Checkpoint | None:
        raw = bytes(self._entries[number * ENTRY_BYTES : (number + 1) * ENTRY_BYTES])
        place = number * BLOCK_BYTES
        if number < 0 or not raw or place > log.size:
            return None
        found = Checkpoint.unpack(raw, self._seed(log, place), _before(log, place))
        return found if found is not None and found.position == place else None

    def _seed(self, log: KeptLog, position: int) -> int:
        is_behind = 0 < log.break_at <= position
        return seed_of(self._identity, log.state.gap.end if is_behind else 0)

    def _forget_behind_gap(self, log: KeptLog) -> None:
        dropped = log.state.gap.end
        if dropped > self._dropped:
            kept = -(-log.break_at // BLOCK_BYTES)
            del self._entries[kept * ENTRY_BYTES :]
        self._dropped = max(dropped, self._dropped)

    def _start_anew(self) -> None:
        self._entries.clear()
        self._is_fresh = True

    def _take_over(self, log: KeptLog) -> None:
        """What others have added to the file, as far as it fits."""
        if self._is_fresh:
            return
        begin = len(self._entries)
        try:
            fd = open_regular(self._path, os.O_RDONLY)
        except OSError:
            return
        try:
            most = (log.size // BLOCK_BYTES + 1) * ENTRY_BYTES
            size = os.fstat(fd).st_size
            # One that is longer than the log is that of another.
            if size > most and not log.state.limit:
                return
            raw = os.pread(fd, max(0, min(size, most) - begin), begin)
        except OSError:
            return
        finally:
            os.close(fd)
        self._entries += raw[: len(raw) - len(raw) % ENTRY_BYTES]
        # The last must fit, or else what comes before the gap, or else nothing is taken.
        if self._entries and self._checkpoint(log, self._count - 1) is None:
            del self._entries[max(begin, -(-log.break_at // BLOCK_BYTES) * ENTRY_BYTES) :]
            if self._checkpoint(log, self._count - 1) is None:
                del self._entries[begin:]

    def _keep(self, added: bytearray) -> None:
        begin = len(self._entries)
        self._entries += added
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if begin == 0 else 0)
            fd = open_regular(self._path, flags)
            try:
                # Another process may have begun anew.
                begin = min(begin, os.fstat(fd).st_size // ENTRY_BYTES * ENTRY_BYTES)
                os.pwrite(fd, self._entries[begin:], begin)
                self._is_fresh = False
            finally:
                os.close(fd)


def _before(log: KeptLog, place: int) -> bytes:
    return log.read(max(0, place - CHECKED_BYTES), place)


def _passed(log: KeptLog, at: Checkpoint, blocks: int) -> list[tuple[Checkpoint, bytes]]:
    """The checkpoints behind `at`, with the bytes before each."""
    # A sequence may go across a place: it counts where it ends.
    overlap = min(at.position, MAX_SEQUENCE_BYTES)
    begin = at.position - overlap
    data = log.read(begin, at.position + blocks * BLOCK_BYTES)
    found = []
    for _ in range(blocks):
        position, line, style = at
        place, end = position - begin, position - begin + BLOCK_BYTES
        line += data.count(b"\n", place, end)
        # The gap ends a line that has no end.
        if position < log.break_at <= position + BLOCK_BYTES:
            line += data[log.break_at - begin - 1] != ord("\n")
        style = after(style, data[place - overlap : end])
        overlap = MAX_SEQUENCE_BYTES
        at = Checkpoint(position + BLOCK_BYTES, line, style)
        found.append((at, data[end - CHECKED_BYTES : end]))
    return found
