"""Resources that a job has used, as far as they can be measured.

Processor time is the cgroup's where there is one. Elsewhere it is that of the commands and of their
reaped children: orphans are not counted. The peak of memory is that of all processes together where
a controller counts it. Elsewhere it is that of the largest process: ru_maxrss is inherited across
fork, so values below the supervisor's own are discarded.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final

from service.link import from_supervisor

# Source: getrusage(2), ru_maxrss.
_MAXRSS_UNIT: Final = 1024


@dataclass(slots=True)
class Usage:
    """Sums over the reaped commands of one job."""

    cpu_s: float = 0.0
    peak_bytes: int = 0

    def add(self, used: resource.struct_rusage) -> None:
        """A command was reaped."""
        self.cpu_s += used.ru_utime + used.ru_stime
        self.peak_bytes = max(self.peak_bytes, used.ru_maxrss * _MAXRSS_UNIT)

    def report(self, cpu_s: float | None, peak_bytes: int | None) -> from_supervisor.Usage:
        """For the worker. The arguments were measured for the whole job; None: they weren't."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        largest = self.peak_bytes if self.peak_bytes > own else None
        return {
            "cpu_s": round(self.cpu_s if cpu_s is None else cpu_s, 6),
            "peak_bytes": largest if peak_bytes is None else peak_bytes,
        }
