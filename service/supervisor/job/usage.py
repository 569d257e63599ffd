"""Resources that a job has used, as far as they can be measured: at its end, or so far.

Processor time is the cgroup's where there is one. Elsewhere it is that of the commands and of their
reaped children: orphans are not counted. The peak of memory is that of all processes together where
a controller counts it. Elsewhere it is that of the largest process: ru_maxrss is inherited across
fork, so values below the supervisor's own are discarded.

While the job runs, nothing is counted until somebody asks.
"""

from __future__ import annotations

import resource
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from service.host.process_use import peak_of, use_of
from service.link import from_supervisor, job_events
from service.supervisor.job.limits import LimitEnforcer
from service.supervisor.process.tree import Tree

# Source: getrusage(2), ru_maxrss.
_MAXRSS_UNIT: Final = 1024


@dataclass(slots=True)
class Usage:
    """Sums over the reaped commands of one job. `seen_cpu_s` and `seen_peak_bytes`: the most that
    was measured while it ran; its end doesn't take it back.
    """

    cpu_s: float = 0.0
    peak_bytes: int = 0
    seen_cpu_s: float = 0.0
    seen_peak_bytes: int = 0

    def add(self, used: resource.struct_rusage) -> None:
        """A command was reaped."""
        self.cpu_s += used.ru_utime + used.ru_stime
        self.peak_bytes = max(self.peak_bytes, used.ru_maxrss * _MAXRSS_UNIT)

    def measure(
        self, tree: Tree, limits: LimitEnforcer
    ) -> Generator[None, None, from_supervisor.UsageNow]:
        """What the job uses now, and has used so far. It yields after each process, as there may be
        many.
        """
        processes = memory_bytes = 0
        cpu_s, peak_bytes = self.cpu_s, self._largest
        counted_cpu_s, counted_peak = tree.cpu_s(), limits.peak_bytes()
        counted_bytes = limits.memory_bytes()
        if counted_bytes is None:
            counted_bytes = tree.memory_bytes()
        for pid in tree.pids():
            if (use := use_of(pid)) is None or use.is_dead:
                continue
            processes += 1
            memory_bytes += use.memory_bytes
            cpu_s += use.cpu_s + use.children_cpu_s
            if counted_peak is None:
                peak_bytes = max(peak_bytes, peak_of(pid))
            yield
        self.seen_cpu_s = max(self.seen_cpu_s, cpu_s if counted_cpu_s is None else counted_cpu_s)
        self.seen_peak_bytes = max(self.seen_peak_bytes, peak_bytes)
        return {
            "cpu_s": round(self.seen_cpu_s, 6),
            "memory_bytes": memory_bytes if counted_bytes is None else counted_bytes,
            "peak_bytes": (self.seen_peak_bytes or None) if counted_peak is None else counted_peak,
            "processes": processes,
        }

    def report(self, cpu_s: float | None, peak_bytes: int | None) -> job_events.Usage:
        """For the worker. The arguments were measured for the whole job; None: they weren't."""
        largest = max(self._largest, self.seen_peak_bytes)
        return {
            "cpu_s": round(max(self.seen_cpu_s, self.cpu_s if cpu_s is None else cpu_s), 6),
            "peak_bytes": (largest or None) if peak_bytes is None else peak_bytes,
        }

    @property
    def _largest(self) -> int:
        """The peak of the largest reaped process; 0 when that may be the supervisor's own."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        return self.peak_bytes if self.peak_bytes > own else 0
