"""Whether the nodes of a cluster can see the directories of jobs, as far as this host can tell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.settings import Settings

# File systems that no other host has mounted.
_LOCAL: Final = frozenset(
    {"btrfs", "ext2", "ext3", "ext4", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
)


def warnings(settings: Settings) -> Iterator[str]:
    """What may keep steps from running where the job's files are."""
    kind = _file_system(os.path.realpath(settings.state_dir))
    if kind in _LOCAL:
        yield (
            f"The state directory {settings.state_dir} is on {kind}, which nodes of a cluster don't"
            " share: commands of Slurm need a WorkingDir that is shared, unless this host is the"
            " only node"
        )


def _file_system(path: str) -> str:
    """The type of the file system that has it, or would; empty when that isn't known."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape")
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ")
        # Blanks and such are written in octal. Source: proc(5), getmntent(3).
        point = point.encode(errors="surrogateescape").decode("unicode_escape")
        is_above = path == point or path.startswith(f"{point.rstrip('/')}/")
        if is_above and len(point) >= len(best):  # the last one covers those before it
            best, kind = point, found
    return kind
