"""The reading side of a log, in any process, while it is being written or long after.

Reading takes no lock and writes nothing, so any number of readers cost the writer nothing. A
reader first takes the header, then reads below the end that it told: those bytes, and the
records for them, never change again, unless the log has a limit. There they may be dropped while
they are read; `cursor` minds that, the reads of this module don't.

Reads can be asked not to wait for the disk; then they raise BlockingIOError, and the caller
repeats them where waiting does no harm. A long one may still wait when only parts of it are in
memory.
"""

from __future__ import annotations

import errno
import os
import threading
from stat import S_ISREG
from typing import TYPE_CHECKING

from service.errors import CorruptLog
from service.output.files import INDEX_NAME, OUTPUT_NAME, READ_BYTES, open_in
from service.output.index import (
    HEADER_BYTES,
    RECORD_BYTES,
    LogState,
    Record,
    TornHeader,
    record_position,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from service.output.files import Directory

__all__ = ["LogReader", "has_bytes"]

_COPIED_BYTES = 16 * 1024
"""Up to here a copy costs less than asking for what is in memory."""

_PROBED_BYTES = 64 * 1024
"""From one place that is asked about to the next: files are read ahead, and leave memory, in pieces
of about this size."""

_HEADER_TRIES = 1000
"""A header caught in the middle of its write is whole a microsecond later."""


def has_bytes(directory: str | os.PathLike[str], end: int) -> bool:
    """Whether the log in `directory` can have `end` bytes, as far as can be told by looking at its
    files from outside: a tenth of what opening them costs.
    """
    least = {OUTPUT_NAME: end, INDEX_NAME: record_position(min(end, 1))}
    try:
        found = {name: os.lstat(os.path.join(directory, name)) for name in least}
    except OSError:
        return False
    return all(S_ISREG(found[n].st_mode) and found[n].st_size >= least[n] for n in least)


class _Scratch(threading.local):
    """One buffer per thread for reads that must not wait, as those need one made beforehand."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_COPIED_BYTES))


_scratch = _Scratch()


class LogReader:
    """A log open for reading; may be used by several threads at once."""

    __slots__ = ("_can_refuse_to_wait", "_is_shared", "_last_chunk", "_output_fd", "_runs_fd")

    def __init__(self, output_fd: int, runs_fd: int) -> None:
        """For `open`."""
        self._output_fd = output_fd
        self._runs_fd = runs_fd
        self._can_refuse_to_wait = True
        self._last_chunk = (0, b"")
        self._is_shared = False

    @classmethod
    def open(cls, directory: Directory) -> Self:
        """Opens the log in `directory`.

        Raises:
            FileNotFoundError: there is none, or it is just being made.
        """
        runs_fd = open_in(directory, INDEX_NAME, os.O_RDONLY)
        try:
            if os.fstat(runs_fd).st_size < HEADER_BYTES:
                raise FileNotFoundError(errno.ENOENT, "the log is just being made", INDEX_NAME)
            output_fd = open_in(directory, OUTPUT_NAME, os.O_RDONLY)
        except BaseException:
            os.close(runs_fd)
            raise
        return cls(output_fd, runs_fd)

    def __enter__(self) -> Self:
        """The reader itself, closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    @property
    def index_fd(self) -> int:
        """The descriptor whose file changes whenever the log does: for watching, not reading."""
        return self._runs_fd

    @property
    def identity(self) -> int:
        """The number of the output's file: another log has another one."""
        return os.fstat(self._output_fd).st_ino

    def state(self) -> LogState:
        """How far the log goes at this moment.

        Raises:
            CorruptLog: the header is damaged.
        """
        for _ in range(_HEADER_TRIES):
            try:
                return LogState.unpack(os.pread(self._runs_fd, HEADER_BYTES, 0))
            except TornHeader:
                # The writer may have been stopped in the middle: let it go on.
                os.sched_yield()
        return LogState.unpack(os.pread(self._runs_fd, HEADER_BYTES, 0))

    def whole_state(self) -> LogState:
        """The same, once it is seen that what the header tells of is there.

        Raises:
            CorruptLog: the header is damaged, or the output is shorter than it says.
        """
        state = self.state()
        size = os.fstat(self._output_fd).st_size
        if size < state.end:
            msg = f"the output has {size} bytes, but its header says {state.end}"
            raise CorruptLog(msg)
        return state

    def read(
        self,
        offset: int,
        limit: int = READ_BYTES,
        *,
        end: int | None = None,
        wait: bool = True,
    ) -> bytes:
        """Bytes of both streams from `offset` on, at most `limit`, perhaps fewer.

        `end`, from an earlier `state()`, bounds what is read, and saves asking the header again.

        Returns: b"" only at or beyond the end.

        Raises:
            BlockingIOError: `wait` is false, and the bytes are not in memory.
            CorruptLog: the file is shorter than its header says.
        """
        if end is None:
            end = self.state().end
        length = min(limit, end - offset)
        if length <= 0:
            return b""
        kept_offset, kept = self._last_chunk
        if kept_offset == offset and len(kept) == length:
            return kept
        data = os.pread(self._output_fd, length, offset) if wait else self._read_now(length, offset)
        if not data:
            msg = f"the output ends before {offset}, but its header says {end}"
            raise CorruptLog(msg)
        if self._is_shared:
            self._last_chunk = (offset, data)
        return data

    def send_now(self, descriptor: int, offset: int, limit: int) -> int | None:
        """Sends bytes of both streams from `offset` on, at most `limit`, to a socket that doesn't
        wait. They are to be below the end, and none that may be dropped: the kernel sends what is
        there when it comes to that.

        Returns: how many were sent; 0 when the socket takes none now; None when they aren't in
            memory, or the file system can't.

        Raises:
            CorruptLog: the file ends before `offset`.
            OSError: the other side is gone, or the disk fails.
        """
        length = self.in_memory(offset, limit)
        if not length:
            return None
        try:
            sent = os.sendfile(descriptor, self._output_fd, offset, length)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                return None
            raise
        if not sent:
            msg = f"the output ends before {offset}"
            raise CorruptLog(msg)
        return sent

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fills the buffer, or the beginning of it; returns how many bytes that were.

        Raises:
            CorruptLog: the file ends before `offset`.
        """
        count = os.preadv(self._output_fd, [buffer], offset)
        if not count:
            msg = f"the output ends before {offset}"
            raise CorruptLog(msg)
        return count

    def record(self, number: int) -> Record | None:
        """Record `number`, counted from 0; None beyond the last."""
        found = self.records(number, 1)
        return found[0] if found else None

    def records(self, first: int, count: int) -> list[Record]:
        """Up to `count` records; fewer only at the end of the index."""
        return Record.unpack_many(self.raw_records(first, count))

    def raw_records(self, first: int, count: int) -> bytes:
        """The same, packed."""
        return os.pread(self._runs_fd, count * RECORD_BYTES, record_position(first))

    def record_count(self) -> int:
        """How many there are, with those that may still be rewritten."""
        return max(0, os.fstat(self._runs_fd).st_size - HEADER_BYTES) // RECORD_BYTES

    def share(self, *, among_many: bool) -> None:
        """Says whether many read the same places through this object, one after the other.

        It then keeps the last chunk, up to 128 KiB, and all of them get that one object.
        """
        self._is_shared = among_many
        if not among_many:
            self._last_chunk = (0, b"")

    def close(self) -> None:
        """Closes both files; doing it again does nothing."""
        output_fd, runs_fd = self._output_fd, self._runs_fd
        self._output_fd = self._runs_fd = -1
        if output_fd >= 0:
            os.close(output_fd)
            os.close(runs_fd)

    def _read_now(self, length: int, offset: int) -> bytes:
        if length <= _COPIED_BYTES and self._can_refuse_to_wait:
            try:
                count = os.preadv(self._output_fd, [_scratch.view[:length]], offset, os.RWF_NOWAIT)
                return bytes(_scratch.view[:count])
            except OSError as error:
                self._cannot_refuse(error)
        # What is read without waiting has to be copied out of a buffer made beforehand, which
        # takes half of the throughput. So it is asked whether the bytes are in memory.
        elif self.in_memory(offset, length) < length:
            raise BlockingIOError(errno.EAGAIN, "the bytes are not in memory")
        return os.pread(self._output_fd, length, offset)

    def in_memory(self, offset: int, length: int) -> int:
        """How many of the bytes are, asked at some places; when one between them isn't, a read
        waits for that.
        """
        if not self._can_refuse_to_wait:
            return length
        ahead: int
        for ahead in (*range(0, length, _PROBED_BYTES), length - 1):
            try:
                os.preadv(self._output_fd, [_scratch.view[:1]], offset + ahead, os.RWF_NOWAIT)
            except BlockingIOError:
                return ahead
            except OSError as error:
                self._cannot_refuse(error)
                return length
        return length

    def _cannot_refuse(self, error: OSError) -> None:
        """Raises the error, unless it says that the file system can't."""
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise error
        # On those that can't (tmpfs), reading is quick anyway.
        self._can_refuse_to_wait = False
