"""What a job has used, as far as it can be told.

Processor time is the cgroup's where there is one. Else it is that of the commands and of what they
waited for: a process that was left to others is missing. The peak of memory is that of all
processes together where a controller counts. Else it is that of the largest one, and only above
what this supervisor itself has had: the kernel passes that on to a child as its first peak.
"""

from __future__ import annotations

import resource
from typing import Final

from service.link import from_supervisor

# Source: getrusage(2), ru_maxrss.
_MAXRSS_UNIT: Final = 1024


class Usage:
    """Sums over the reaped commands of one job."""

    __slots__ = ("cpu_s", "peak_bytes")

    def __init__(self, cpu_s: float = 0.0, peak_bytes: int = 0) -> None:
        self.cpu_s = cpu_s
        self.peak_bytes = peak_bytes

    def add(self, used: resource.struct_rusage) -> None:
        """A command was reaped."""
        self.cpu_s += used.ru_utime + used.ru_stime
        self.peak_bytes = max(self.peak_bytes, used.ru_maxrss * _MAXRSS_UNIT)

    def told(self, cpu_s: float | None, peak_bytes: int | None) -> from_supervisor.Usage:
        """For the owner: what was counted for the whole job comes first, None where nobody did."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        largest = self.peak_bytes if self.peak_bytes > own else None
        return {
            "cpu_s": round(self.cpu_s if cpu_s is None else cpu_s, 6),
            "peak_bytes": largest if peak_bytes is None else peak_bytes,
        }

    def state(self) -> list[float]:
        """All of it as JSON has it, for a successor."""
        return [self.cpu_s, self.peak_bytes]
