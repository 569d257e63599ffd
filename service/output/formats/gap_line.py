"""What stands in a text in the place of bytes that aren't there."""

from __future__ import annotations

__all__ = ["LINES_LEFT_OUT", "elision_line", "gap_line"]

LINES_LEFT_OUT = b"--\n"


def gap_line(start: int, end: int) -> bytes:
    """A line that says how many bytes are missing."""
    return b"[jobrunner: %d bytes dropped]\n" % (end - start)


def elision_line(start: int, end: int) -> bytes:
    """A line that says which bytes were not wanted."""
    return b"[jobrunner: bytes %d to %d left out]\n" % (start, end)
