"""What processes have in memory, as the kernel counts it."""

from __future__ import annotations

import re
from pathlib import Path

# Pages that nobody else maps: what would come free if the process ended.
# Source: proc(5), smaps_rollup.
_PRIVATE = re.compile(r"^Private_(?:Clean|Dirty|Hugetlb): +(\d+) kB$", re.MULTILINE)
_PROPORTIONAL = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)


def private_kb(pid: int) -> int:
    return sum(map(int, _PRIVATE.findall(_rollup(pid))))


def proportional_kb(pid: int) -> int:
    return sum(map(int, _PROPORTIONAL.findall(_rollup(pid))))


def family(pid: int) -> list[int]:
    """The process and all its descendants. A kernel may have no `children` files: all are read."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue  # it ended meanwhile
            # The name, in brackets, may have spaces and brackets itself.
            parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _rollup(pid: int) -> str:
    return Path(f"/proc/{pid}/smaps_rollup").read_text()
