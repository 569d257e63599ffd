"""Both files of a log, open for writing: each call writes one thing in one step.

In which order they are called, so that a kill leaves nothing that can't be mended, is the writer's
concern (`writer`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from service.output.files import INDEX_NAME, OUTPUT_NAME, open_in
from service.output.holes import check_holes, punch
from service.output.index import HEADER_BYTES, RECORD_BYTES, Record, record_position

if TYPE_CHECKING:
    from typing import Self

    from service.output.files import Directory
    from service.output.index import Gap, LogState

__all__ = ["LogFiles"]

_DIRECTORY_MODE = 0o700

_LARGE_BLOCK_BYTES = 64 * 1024
"""The largest block of a file system: one that was freed in part only is freed with the next."""


class LogFiles:
    """The descriptors of `output` and of its index, until they are closed."""

    __slots__ = ("index_fd", "output_fd")

    def __init__(self, output_fd: int, index_fd: int) -> None:
        self.output_fd = output_fd
        self.index_fd = index_fd

    @classmethod
    def create(cls, directory: Directory, state: LogState) -> Self:
        """Makes the files of an empty log, and their directory when that is missing.

        Raises:
            NoHoles: there is a limit, and the file system could not keep it.
            FileExistsError: there is one already; it is left as it is.
            OSError: no room, or no such directory; nothing is left behind.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        if not isinstance(directory, int):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, _DIRECTORY_MODE)
        with contextlib.ExitStack() as undo:
            output_fd = open_in(directory, OUTPUT_NAME, flags)
            undo.callback(_remove, directory, OUTPUT_NAME, output_fd)
            index_fd = open_in(directory, INDEX_NAME, flags)
            undo.callback(_remove, directory, INDEX_NAME, index_fd)
            if state.limit:
                check_holes(output_fd)
                check_holes(index_fd)
            files = cls(output_fd, index_fd)
            files.write_header(state)
            undo.pop_all()
        return files

    @classmethod
    def open(cls, directory: Directory) -> Self:
        """Opens the files that another writer has left.

        Raises:
            FileNotFoundError: there is no log.
        """
        output_fd = open_in(directory, OUTPUT_NAME, os.O_RDWR)
        try:
            # A writer killed between making the one file and the other leaves no index.
            return cls(output_fd, open_in(directory, INDEX_NAME, os.O_RDWR | os.O_CREAT))
        except BaseException:
            os.close(output_fd)
            raise

    def write_header(self, state: LogState) -> None:
        """Tells readers of the state."""
        if os.pwrite(self.index_fd, state.pack(), 0) != HEADER_BYTES:
            raise OSError(errno.EIO, "the header was written only in part")

    def write_record(self, number: int, record: Record) -> None:
        """Writes the record in its place."""
        if os.pwrite(self.index_fd, record.pack(), record_position(number)) != RECORD_BYTES:
            raise OSError(errno.EIO, "a record was written only in part")

    def record(self, number: int) -> Record:
        """A record that was written."""
        raw = os.pread(self.index_fd, RECORD_BYTES, record_position(number))
        return Record.unpack_many(raw)[0]

    def free(self, gap: Gap, freed: Gap) -> None:
        """Gives the disk back what the gap takes up, of which `freed` was given back before."""
        start = max(gap.start, freed.end - _LARGE_BLOCK_BYTES)
        punch(self.output_fd, start, gap.end)
        first = max(gap.record_start, freed.record_end - _LARGE_BLOCK_BYTES // RECORD_BYTES)
        punch(self.index_fd, record_position(first), record_position(gap.record_end))

    def close(self) -> None:
        """Closes both; to be called once."""
        os.close(self.output_fd)
        os.close(self.index_fd)


def _remove(directory: Directory, name: str, fd: int) -> None:
    os.close(fd)
    if isinstance(directory, int):
        os.unlink(name, dir_fd=directory)
    else:
        os.unlink(os.path.join(directory, name))
