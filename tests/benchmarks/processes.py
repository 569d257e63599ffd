"""What processes have used and done, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from memory import family
from running import Service


def of_service(service: Service) -> list[int]:
    """Every process of the service; jobs aren't."""
    return [*family(service.process.pid), service.supervisor_pid()]


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of processor time that they have used. Source: proc(5), stat."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def switches(pids: Iterable[int]) -> int:
    """How often they went to sleep of their own will, so how often something woke them.

    Source: proc(5), status, of each thread.
    """
    total = 0
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            for line in status.read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    total += int(line.split()[1])
    return total
