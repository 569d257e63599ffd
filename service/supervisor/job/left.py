"""What a job left running when it ended by itself: told, before it is ended.

A process is named as the kernel names it. Its command line lies in its own memory, where reading
may take for ever. Source: proc(5), /proc/pid/comm.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from service.host.procfs import Process
from service.link.from_supervisor import LeftProcess

# Entries of one record; more of the same say nothing.
MAX_LEFT: Final = 100


def left_among(processes: Collection[Process]) -> list[LeftProcess]:
    """By their numbers; one that is gone meanwhile is left out."""
    found: list[LeftProcess] = []
    for pid in sorted(process.pid for process in processes):
        if len(found) == MAX_LEFT:
            break
        if (name := _name(pid)) is not None:
            found.append({"pid": pid, "command": name})
    return found


def _name(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.readall().removesuffix(b"\n").decode(errors="backslashreplace")
    except OSError:
        return None
