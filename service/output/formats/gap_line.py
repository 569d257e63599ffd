"""What stands in a text in the place of bytes that were dropped."""

from __future__ import annotations

__all__ = ["gap_line"]


def gap_line(start: int, end: int) -> bytes:
    """A line that says how many bytes are missing."""
    return b"[jobrunner: %d bytes dropped]\n" % (end - start)
