"""What a job may use: put in force for each of its processes before the first instruction of its
own, and told when it was too little.

Memory, CPUs and PIDs are those of the whole job, by the kernel's controllers (`controllers.py`).
OpenFiles and FileSize are those of each process, by setrlimit(2). A process limit stands in for no
controller: RLIMIT_AS bounds the addresses of one process and not the memory of a job, RLIMIT_NPROC
counts all processes of a user, and root's not at all. Where there is no controller the limit can't
be kept, and the supervisor says so.

The child enters and limits itself, between fork and exec. The supervisor must not go in with it, as
it does for a mere cgroup: were the job at its limit of memory, the kernel might end the supervisor.
The price is a fork instead of a vfork, for jobs that have limits only.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final

from service.link import to_supervisor
from service.supervisor.process.controllers import Controllers, Fence
from service.supervisor.process.spawn import Refused
from service.supervisor.process.tree import Tree

# Limits by what keeps them.
_OF_CONTROLLERS: Final = ("memory", "cpus", "pids")
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
        return any(getattr(self, name) for name in _OF_CONTROLLERS)

    @property
    def of_processes(self) -> list[tuple[int, int]]:
        """Each limit of a process with its number; one beyond the hard limit is that already."""
        asked = [(kind, getattr(self, name)) for name, kind in _OF_PROCESSES.items()]
        hard = {kind: resource.getrlimit(kind)[1] for kind in _OF_PROCESSES.values()}
        return [
            (kind, most if hard[kind] == resource.RLIM_INFINITY else min(most, hard[kind]))
            for kind, most in asked
            if most
        ]


_NONE: Final = Limits()


def why_not(controllers: Controllers | None) -> dict[str, str | None]:
    """For each limit why it can't be kept here; None if it can."""
    missing = dict.fromkeys(_OF_CONTROLLERS, "cgroups are switched off (JOBRUNNER_CGROUP)")
    if controllers is not None:
        missing = controllers.missing
    return {name: missing.get(name) for name in (*_OF_CONTROLLERS, *_OF_PROCESSES)}


class Limiting:
    """The limits of one job."""

    __slots__ = ("_fence", "_limits")

    def __init__(self) -> None:
        self._limits = _NONE
        self._fence: Fence | None = None

    def prepare(
        self, job_id: str, asked: to_supervisor.Limits, controllers: Controllers | None
    ) -> None:
        """Before each command; the first one's hold. Raises: Refused."""
        if not asked or self._limits != _NONE:
            return
        limits = Limits(**asked)
        if limits.need_controllers:
            if controllers is None:
                raise Refused("The limits can't be kept: cgroups are switched off.")
            try:
                self._fence = controllers.make(
                    job_id, memory=limits.memory, cpus=limits.cpus, pids=limits.pids
                )
            except OSError as exc:
                reason = os.strerror(exc.errno) if exc.errno else str(exc)
                raise Refused(f"The job's limits could not be put in force: {reason}.") from exc
        self._limits = limits

    def inside(self, tree: Tree) -> AbstractContextManager[None]:
        """What the supervisor enters around the fork."""
        is_the_trees = self._fence is not None and self._fence.is_the_trees
        return nullcontext() if is_the_trees else tree.spawning()

    def entering(self, held: ExitStack) -> Callable[[], None] | None:
        """What the child does before it becomes the command; None when there is nothing to do.
        `held` keeps open what it needs. Raises: OSError.
        """
        if self._limits == _NONE:
            return None
        of_processes = self._limits.of_processes
        doors = []
        for path in [] if self._fence is None else self._fence.doors:
            doors.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            held.callback(os.close, doors[-1])

        def enter() -> None:
            for door in doors:
                os.write(door, b"0")
            for kind, most in of_processes:
                resource.setrlimit(kind, (most, most))

        return enter

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has ended a process for it since this was asked before."""
        return self._fence is not None and self._fence.ran_out_of_memory()

    def peak_bytes(self) -> int | None:
        """The most memory that the job had; None if nobody counted."""
        return None if self._fence is None else self._fence.peak_bytes()

    def close(self) -> None:
        if self._fence is not None:
            self._fence.remove()

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor."""
        return {
            "limits": asdict(self._limits),
            "fence": None if self._fence is None else self._fence.state(),
        }

    def restore(self, state: dict[str, Any], controllers: Controllers | None) -> None:
        self._limits = Limits(**state["limits"])
        if state["fence"] is not None and controllers is not None:
            self._fence = controllers.restore(state["fence"])
