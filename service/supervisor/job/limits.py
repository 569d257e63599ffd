"""Resource limits of a job, applied between fork and exec; reports OOM kills.

Memory, CPUs and PIDs are limits of the whole job, by the kernel's controllers (`controllers.py`).
OpenFiles and FileSize are limits of each process, by setrlimit(2). A process limit can't replace a
controller: RLIMIT_AS bounds the addresses of one process and not the memory of a job, RLIMIT_NPROC
counts all processes of a user, and doesn't apply to root. Without a controller the limit can't be
kept, and the supervisor reports that.

The child enters the cgroup and limits itself, between fork and exec. The supervisor must not enter
with it, as it does when it only places a child: if the job were at its limit of memory, the kernel
might kill the supervisor. The cost is a fork instead of a vfork, for jobs with limits only.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final

from service.link import start
from service.supervisor.process.job_cgroup import CONTROLLERS, Controllers, JobCgroup
from service.supervisor.process.refusal import Refused
from service.supervisor.process.tree import Tree

_OF_PROCESSES: Final = {
    "open_files": resource.RLIMIT_NOFILE,
    "file_size": resource.RLIMIT_FSIZE,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, processors, and numbers; 0: none."""

    memory: int = 0
    cpus: float = 0.0
    pids: int = 0
    open_files: int = 0
    file_size: int = 0

    @property
    def need_controllers(self) -> bool:
        return any(getattr(self, name) for name in CONTROLLERS)

    @property
    def of_processes(self) -> list[tuple[int, int]]:
        """Each limit of a process as (resource, value), at most the hard limit of this process."""
        wanted = [(kind, getattr(self, name)) for name, kind in _OF_PROCESSES.items()]
        hard = {kind: resource.getrlimit(kind)[1] for kind in _OF_PROCESSES.values()}
        return [
            (kind, most if hard[kind] == resource.RLIM_INFINITY else min(most, hard[kind]))
            for kind, most in wanted
            if most
        ]


_NONE: Final = Limits()


@dataclass(slots=True, kw_only=True)
class LimitsSnapshot:
    """The limits of a job as they are handed to the next image of this process."""

    limits: Limits = _NONE
    oom_seen: int = 0


def why_not(controllers: Controllers | None) -> dict[str, str | None]:
    """For each limit why it can't be kept here; None if it can."""
    missing = dict.fromkeys(CONTROLLERS, "cgroups are switched off (JOBRUNNER_CGROUP)")
    if controllers is not None:
        missing = controllers.missing
    return {name: missing.get(name) for name in (*CONTROLLERS, *_OF_PROCESSES)}


class LimitEnforcer:
    """Puts the limits of one job in force."""

    __slots__ = ("_cgroup", "_limits")

    def __init__(self) -> None:
        self._limits = _NONE
        self._cgroup: JobCgroup | None = None

    def prepare(self, job_id: str, wanted: start.Limits, controllers: Controllers | None) -> None:
        """Call it before each command; the first command's limits hold. Raises: Refused."""
        if not wanted or self._limits != _NONE:
            return
        limits = Limits(**wanted)
        if limits.need_controllers:
            if controllers is None:
                raise Refused("The limits can't be kept: cgroups are switched off.")
            try:
                self._cgroup = controllers.make(
                    job_id, memory=limits.memory, cpus=limits.cpus, pids=limits.pids
                )
            except OSError as exc:
                reason = os.strerror(exc.errno) if exc.errno else str(exc)
                raise Refused(f"The job's limits could not be put in force: {reason}.") from exc
        self._limits = limits

    def placement(self, tree: Tree) -> AbstractContextManager[None]:
        """What the supervisor enters around the fork."""
        return tree.spawning() if self._cgroup is None else self._cgroup.placement(tree)

    def preexec(self, stack: ExitStack) -> Callable[[], None] | None:
        """What the child calls before it executes the command; None when there is nothing to do.
        `stack` closes what that needs. Raises: OSError.
        """
        if self._limits == _NONE:
            return None
        of_processes = self._limits.of_processes
        procs_files = []
        for path in [] if self._cgroup is None else self._cgroup.procs_files:
            procs_files.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            stack.callback(os.close, procs_files[-1])

        def enter() -> None:
            for descriptor in procs_files:
                os.write(descriptor, b"0")
            for kind, most in of_processes:
                resource.setrlimit(kind, (most, most))

        return enter

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process for lack of memory since the last call."""
        return self._cgroup is not None and self._cgroup.ran_out_of_memory()

    def memory_bytes(self) -> int | None:
        """The memory that the job has now; None if it isn't measured."""
        return None if self._cgroup is None else self._cgroup.memory_bytes()

    def peak_bytes(self) -> int | None:
        """The most memory that the job had; None if it wasn't measured."""
        return None if self._cgroup is None else self._cgroup.peak_bytes()

    def close(self) -> None:
        """The job is over."""
        if self._cgroup is not None:
            self._cgroup.remove()

    def snapshot(self) -> LimitsSnapshot:
        oom_seen = 0 if self._cgroup is None else self._cgroup.oom_seen
        return LimitsSnapshot(limits=self._limits, oom_seen=oom_seen)

    def resume(
        self, job_id: str, snapshot: LimitsSnapshot, controllers: Controllers | None
    ) -> None:
        """Go on with the limits of the job in an earlier image of this process."""
        self._limits = snapshot.limits
        if snapshot.limits.need_controllers and controllers is not None:
            self._cgroup = controllers.resume(job_id, snapshot.oom_seen)
