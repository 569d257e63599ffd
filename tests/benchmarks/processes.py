"""What processes have used and done, as the kernel counts it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

from case import Skipped
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


def may_open(descriptors: int) -> None:
    """Let this process, and what it starts, have so many. Raises: Skipped."""
    if (allowed := open_at_most(descriptors)) < descriptors:
        raise Skipped(f"{descriptors} descriptors are needed, {allowed} allowed")


def open_at_most(descriptors: int) -> int:
    """Let this process, and what it starts, have so many, or as many as they may; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= descriptors:
        return descriptors
    if hard == resource.RLIM_INFINITY or hard >= descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
        return descriptors
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    except ValueError:  # only root may have more than it was given, and not everywhere
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return descriptors
