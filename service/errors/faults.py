"""Faults of the service: a caller is told an `InternalError` instead."""

from __future__ import annotations

from service.errors.members import INTEGER, TEXT
from service.errors.tree import JobrunnerError


class IllegalTransition(JobrunnerError):
    """A trigger that the lifecycle table doesn't allow in this state."""

    code, title, status = "illegal_transition", "Illegal transition", 500
    members = (("trigger", TEXT), ("state", TEXT))

    def __init__(self, *, trigger: str, state: str) -> None:
        super().__init__(f"A job that is {state} has no trigger {trigger!r}.")
        self.trigger = trigger
        self.state = state


class OutputError(JobrunnerError):
    """A fault of an output log; abstract. An error of the operating system stays an OSError."""

    status = 500


class CorruptLog(OutputError):
    """The files of a log contradict each other, or their format's version is unknown."""

    code, title = "output_corrupt", "Corrupt output log"


class OutputDropped(OutputError):
    """The next byte was dropped, since the output went beyond its limit.

    `offset` is where the reader is, `until` the next byte that was kept at that moment, both in the
    offsets of the reader: of its stream, or of both.
    """

    code, title = "output_dropped", "Output dropped"
    members = (("offset", INTEGER), ("until", INTEGER))

    def __init__(self, offset: int, until: int) -> None:
        super().__init__(f"the bytes from {offset} to {until} were dropped")
        self.offset = offset
        self.until = until


class NoHoles(OutputError):
    """The file system can't free the middle of a file, so no limit can be kept on it."""

    code, title = "output_no_holes", "No hole punching"


class WatcherClosed(OutputError):
    """The watcher was closed while a reader waited for more output."""

    code, title = "output_watcher_closed", "Log watcher closed"
