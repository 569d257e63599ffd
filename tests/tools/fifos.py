"""Named pipes between a test and its jobs."""

from __future__ import annotations

import os
from pathlib import Path


class Fifo:
    """Open at both ends, so that neither side ever blocks in open(2), and what was written stays
    until it is read.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def __str__(self) -> str:
        return str(self.path)

    def go(self, times: int = 1) -> None:
        """Let so many go on who read a line, those who wait and those who come."""
        os.write(self.descriptor, b"\n" * times)

    def close(self) -> None:
        os.close(self.descriptor)
