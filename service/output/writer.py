"""The writing side of a log: bytes go from a pipe into the file, and nothing can tear them.

One process has a log open for writing at any time; whoever calls sees to that. Each step is
record, bytes, header, in that order:

1. The record says whose bytes come next, so bytes without an owner never exist.
2. `splice` takes bytes out of the pipe and puts them into the file in one step of the kernel.
   Before it they are in the pipe, after it in the file, also if the writer is killed.
3. The header then tells readers. When it is late, because the writer was killed or the disk is
   full, the file's size is the truth and the last record says whose the bytes are.

Whatever fails leaves the bytes where they are, and the next call goes on. The one exception is a
source that can't be spliced, such as a terminal: see `LogWriter.splice_from`.

A log made `on_demand` has no files before its first byte, or before somebody wants to read it: a
silent command costs the file system nothing, and the writer no descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

from service.output.descriptors import has_bytes
from service.output.extent import Extent
from service.output.index import LogState
from service.output.log_files import LogFiles
from service.output.repair import repair
from service.output.run_records import RunRecords

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from service.output.files import Directory

__all__ = ["LogWriter"]

_COPY_BYTES = 64 * 1024
"""What is read at once where splice can't serve: it is what a kill could lose there."""


_NO_FILES = LogFiles(-1, -1)
"""Of a log whose files are yet to be made, or are closed."""


class LogWriter:
    """A log open for writing, by this process alone.

    Attributes:
        repairs: what `reopen` had to mend, one sentence each.
    """

    __slots__ = (
        "_closed_as",
        "_directory",
        "_extent",
        "_files",
        "_held",
        "_records",
        "repairs",
    )

    def __init__(
        self,
        files: LogFiles,
        directory: Directory | None,
        records: RunRecords,
        state: LogState,
    ) -> None:
        """For `create`, `on_demand` and `reopen`."""
        self._files = files
        self._directory = directory  # where its files are yet to be made
        self._records = records
        self._extent = Extent(files, records, state)
        self._closed_as: LogState | None = None
        self._held = b""
        self.repairs: list[str] = []

    @classmethod
    def create(
        cls,
        directory: Directory,
        *,
        limit: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> Self:
        """Makes an empty log, and its directory when that is missing; `clock_ns` is what "10 ms" is
        told by.

        `limit`: bytes that are kept of the output, from 64 KiB on; 0 for all. It goes into the
        header, and holds for every later writer.

        Raises:
            NoHoles: there is a limit, and the file system could not keep it.
            FileExistsError: there is one already; it is left as it is.
            OSError: no room, or no such directory; nothing is left behind.
        """
        log = cls.on_demand(directory, limit=limit, clock_ns=clock_ns)
        log.make()
        return log

    @classmethod
    def on_demand(
        cls,
        directory: Directory,
        *,
        limit: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> Self:
        """The same, but the files are made with its first byte, or by `make`.

        An open descriptor of the directory must be open still.
        """
        return cls(_NO_FILES, directory, RunRecords(clock_ns), LogState(limit=limit))

    @classmethod
    def reopen(
        cls, directory: Directory, *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> Self:
        """Continues a log whose writer is gone, after mending what it left (see `repairs`).

        One that was finished stays so: `is_open` is false, and `state` tells how it ended.

        Raises:
            FileNotFoundError: there is no log.
        """
        files = LogFiles.open(directory)
        try:
            return cls.adopt(files.output_fd, files.index_fd, clock_ns=clock_ns)
        except BaseException:
            files.close()
            raise

    @classmethod
    def adopt(
        cls,
        output_fd: int,
        index_fd: int,
        *,
        held: bytes = b"",
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> Self:
        """The same for the `descriptors` of a writer that is gone, which become this one's, and for
        the bytes that it `held`.

        Raises:
            OSError: the files can't be read; the descriptors are still open.
        """
        state, record_count, last, sentences = repair(output_fd, index_fd)
        files = LogFiles(output_fd, index_fd)
        log = cls(files, None, RunRecords(clock_ns, record_count, last), state)
        log._held, log.repairs = held, sentences
        if state.closed:
            log._closed_as = state
            log.detach()
        elif state.gap.end:
            with contextlib.suppress(OSError):  # the next step tries it again
                log._extent.free()
        return log

    @property
    def is_open(self) -> bool:
        """Whether this object can still write."""
        return self._files is not _NO_FILES or self._directory is not None

    @property
    def is_made(self) -> bool:
        """Whether its files are there, or will never be."""
        return self._directory is None

    @property
    def descriptors(self) -> tuple[int, int] | None:
        """Of `output` and of its index; None while there are no files, and once it is closed."""
        files = self._files
        return None if files is _NO_FILES else (files.output_fd, files.index_fd)

    @property
    def held(self) -> bytes:
        """Bytes that could only be read and not yet be written; see `splice_from`."""
        return self._held

    @property
    def last_output_s(self) -> float:
        """When the last byte came, by the clock; told up to 10 ms later than it was, and 0 when
        none came since this was opened.
        """
        return self._records.last_output_s

    @property
    def state(self) -> LogState:
        """What the header says, or will say once it can be written."""
        return self._closed_as or self._extent.state()

    @property
    def end(self) -> int:
        """Bytes in `output`, of both streams."""
        return self._extent.end

    def make(self) -> None:
        """Makes the files, if that is still to be done: readers then find an empty log.

        Raises: as `create` does.
        """
        if self._directory is not None:
            self._files = LogFiles.create(self._directory, self.state)
            self._extent.made(self._files)
            self._directory = None

    def splice_from(self, pipe_fd: int, stream: int, command: int) -> int:
        """Moves up to 256 KiB of what is in the pipe to the log's end, as that stream's output.

        A source that can't be spliced (a terminal, an odd file system) must not block, and is
        read and then written: the bytes in between, up to 64 KiB, are lost if this process is
        killed just then. If they can't be written they are held, and go first next time.

        Returns: the number of bytes moved; 0 at the end of output.

        Raises:
            BlockingIOError: nothing is in the pipe, and it has not ended.
            OSError: no room (ENOSPC, EDQUOT, EFBIG) or a failing disk (EIO). What was not moved
                is still in the pipe, what was moved is accounted for; call again later.
        """
        # What an earlier call could not write comes first, or bytes would change places.
        if self._held:
            self._write_held()
        records, extent = self._records, self._extent
        extent.settle()
        if records.is_due(stream, command):
            # Neither the end of output nor a needless wake-up shall leave a record behind.
            if not has_bytes(pipe_fd):
                return 0
            self.make()
            due = records.next(extent.end, extent.stdout_end, stream, command)
            self._files.write_record(*due)
            records.wrote(*due)
        try:
            moved = os.splice(
                pipe_fd,
                self._files.output_fd,
                extent.chunk_bytes,
                offset_dst=extent.end,
                flags=os.SPLICE_F_NONBLOCK,
            )
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return self._copy_from(pipe_fd)
        if moved:
            extent.advance(moved)
        return moved

    def close(self, *, complete: bool) -> None:
        """Finishes the log: readers learn that no more comes, and whether all of it is there.

        Closing it again does nothing. One that has no files by now gets none.

        Raises:
            OSError: that could not be written; the log is still open, so call again.
        """
        if not self.is_open:
            return
        try:
            self._write_held()
        except OSError:
            complete = False
        closed = self._extent.state(closed=True, complete=complete)
        if self.is_made:
            self._extent.tell(closed)
        self._closed_as = closed
        self.detach()

    def detach(self) -> None:
        """Lets go of the files without finishing the log: another process may reopen it."""
        files, self._files, self._directory = self._files, _NO_FILES, None
        self._extent.files = _NO_FILES  # the numbers of its descriptors may be another's soon
        if files is not _NO_FILES:
            files.close()

    def _copy_from(self, fd: int) -> int:
        try:
            data = os.read(fd, _COPY_BYTES)
        except OSError as error:
            # How Linux reports that the other side of a terminal is closed.
            if error.errno == errno.EIO:
                return 0
            raise
        self._held = data
        self._write_held()
        return len(data)

    def _write_held(self) -> None:
        while self._held:
            written = os.pwrite(self._files.output_fd, self._held, self._extent.end)
            self._held = self._held[written:]
            self._extent.advance(written)
