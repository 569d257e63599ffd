"""Where one reader's bytes go: the contract between the log and a transport."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["FileSink", "FileSource", "Sink"]


class Sink(Protocol):
    """Takes bytes in the order in which they are given, each of them once.

    Bytes objects may be given to other sinks as well. An empty one is as good as none.
    """

    def try_write(self, data: bytes) -> bool:
        """Takes the data without waiting; False, and nothing is taken, when it can't now, or when
        the reader is gone.
        """

    async def write(self, data: bytes) -> None:
        """Takes the data once what was taken before is on its way. Raises when the reader is gone.

        Cancelled while it waits, it has taken nothing.
        """

    async def flush(self) -> None:
        """Returns once all that was taken is on its way, so that no end of the stream can take it
        back; also when the reader is gone.
        """


class FileSource(Protocol):
    """Bytes of a file that never change."""

    def in_memory(self, offset: int, limit: int) -> int:
        """Looks how many of them, up to `limit`, can be sent without waiting for the disk."""

    def send_now(self, descriptor: int, offset: int, limit: int) -> int | None:
        """Sends up to `limit` of them to a socket, without waiting for it or for the disk.

        Returns: how many; 0 when the socket takes none now; None when they aren't in memory, or
            can't be sent without being read.
        """


@runtime_checkable
class FileSink(Sink, Protocol):
    """A sink that may take bytes from a file as well."""

    async def send_file(self, source: FileSource, begin: int, end: int) -> int:
        """Takes those from `begin` to before `end`, as `write` does.

        Cancelled, it may have taken some: no more is to be written then.

        Returns: how far it came: before the `end`, the next ones are to be written.
        """
