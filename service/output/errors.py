"""What can be wrong with an output log: faults on our side, which no caller can mend.

Errors of the operating system (no room, no such file) pass as the OSError that they are. What a
caller did wrong stands with the errors that callers are told about.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["CorruptLog", "NoHoles", "OutputDropped", "OutputError", "WatcherClosed"]


class OutputError(Exception):
    """Anything that is wrong with an output log."""

    code: ClassVar[str] = "output_error"


class CorruptLog(OutputError):
    """The files of a log contradict each other, or are no log of a version known here."""

    code: ClassVar[str] = "output_corrupt"


class OutputDropped(OutputError):
    """The next byte was dropped, since the output went beyond its limit.

    Attributes:
        offset: where the reader is.
        until: where the next byte is that was kept, at the moment of asking.
    """

    code: ClassVar[str] = "output_dropped"

    def __init__(self, offset: int, until: int) -> None:
        """In the offsets of the reader: of its stream, or of both."""
        super().__init__(offset, until)
        self.offset = offset
        self.until = until

    def __str__(self) -> str:
        """A sentence for the log."""
        return f"the bytes from {self.offset} to {self.until} were dropped"


class NoHoles(OutputError):
    """The file system can't free the middle of a file, so no limit can be kept on it."""

    code: ClassVar[str] = "output_no_holes"


class WatcherClosed(OutputError):
    """The watcher was closed while somebody waited for more output."""

    code: ClassVar[str] = "output_watcher_closed"
