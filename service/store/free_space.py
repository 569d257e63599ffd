"""Whether the file system of the state directory has space for another job: bytes and inodes.

Used alike by submissions (507), readiness and the doctor.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

# Bytes that must be free for a submission: the records and the index of a job need a few KiB, and
# a file system this full stalls every job's output.
MIN_FREE_BYTES: Final = 1 << 20
# Inodes that must be free for one: a job takes up to five (its directories, output, index, the file
# with a container's ID), and its commands need some of their own.
MIN_FREE_INODES: Final = 64


class FreeSpace(msgspec.Struct, frozen=True):
    """What this process may still use. `inodes` is None where they aren't counted (Btrfs)."""

    path: Path
    bytes: int
    inodes: int | None

    @classmethod
    def of(cls, path: Path) -> FreeSpace:
        """Raises: OSError."""
        disk = os.statvfs(path)
        inodes = disk.f_favail if disk.f_files else None
        return cls(path, disk.f_bavail * disk.f_frsize, inodes)

    def shortage(self, reserved_bytes: int = 0) -> str | None:
        """Why no job can be accepted, as a sentence; None if one can. `reserved_bytes` are needed
        besides.
        """
        needed = MIN_FREE_BYTES + reserved_bytes
        if self.bytes < needed:
            return (
                f"The disk that holds {self.path} has {self.bytes} bytes left,"
                f" a submission needs {needed}."
            )
        if self.inodes is not None and self.inodes < MIN_FREE_INODES:
            return (
                f"The disk that holds {self.path} has {self.inodes} inodes left,"
                f" a submission needs {MIN_FREE_INODES}."
            )
        return None
