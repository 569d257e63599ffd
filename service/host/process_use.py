"""What one process uses, from files of /proc whose reading never waits for the process.

`/proc/PID/cmdline` isn't one of them: it is read out of the memory of the process, which may lie on
a file system that doesn't answer. Source: proc(5).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_MAX_BYTES: Final = 4096
_PEAK: Final = b"\nVmHWM:"


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """`started` is in clock ticks since the boot; with the pid it identifies the process. `state`
    is the kernel's letter. `children_cpu_s`: of children that it has waited for.
    """

    parent: int
    state: str
    started: int
    cpu_s: float
    children_cpu_s: float
    memory_bytes: int
    name: bytes

    @property
    def is_dead(self) -> bool:
        return self.state in "ZX"


def use_of(pid: int) -> ProcessUse | None:
    """What the process uses now; None when there is none."""
    try:
        text = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    # The name is in parentheses and may contain anything, parentheses included.
    end = text.rindex(b")")
    fields = text[end + 2 :].split()
    user, system, of_children, system_of_children = map(int, fields[11:15])
    return ProcessUse(
        parent=int(fields[1]),
        state=fields[0].decode(),
        started=int(fields[19]),
        cpu_s=(user + system) / TICKS_PER_S,
        children_cpu_s=(of_children + system_of_children) / TICKS_PER_S,
        memory_bytes=int(fields[21]) * _PAGE_BYTES,
        name=text[text.index(b"(") + 1 : end],
    )


def peak_of(pid: int) -> int:
    """The most bytes of memory that the process had at a time; 0 when that can't be read."""
    with suppress(OSError, ValueError, IndexError):
        return int(_read(f"/proc/{pid}/status").split(_PEAK, 1)[1].split(maxsplit=1)[0]) << 10
    return 0


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(_MAX_BYTES)
