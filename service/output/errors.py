"""What can be wrong with an output log: faults on our side, which no caller can mend.

Errors of the operating system (no room, no such file) pass as the OSError that they are. What a
caller did wrong stands with the errors that callers are told about.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["CorruptLog", "FollowerClosed", "OutputError"]


class OutputError(Exception):
    """Anything that is wrong with an output log."""

    code: ClassVar[str] = "output_error"


class CorruptLog(OutputError):
    """The files of a log contradict each other, or are no log of a version known here."""

    code: ClassVar[str] = "output_corrupt"


class FollowerClosed(OutputError):
    """The follower was closed while somebody waited for more output."""

    code: ClassVar[str] = "output_follower_closed"
