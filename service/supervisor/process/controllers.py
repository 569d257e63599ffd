"""The kernel's controllers of memory, processors and processes: which version of cgroups has them.

Version 2: the cgroup by which a job's processes are found carries the limits as well, where the
controllers are delegated and the supervisor is alone in its cgroup, as in a unit of its own with
`Delegate=yes`. Otherwise version 1, where it is mounted (`cgroup_v1.py`).

The kernel kills one process of a job that is out of memory, not all (`memory.oom.group` stays 0): a
command whose child was too big goes on or fails as it was written to, alike under both versions.
Source: Documentation/admin-guide/cgroup-v2.rst in the kernel's tree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from service.supervisor.process import cgroup_v1
from service.supervisor.process.cgroup import Cgroups, memory_in
from service.supervisor.process.job_cgroup import (
    CONTROLLERS,
    PERIOD_US,
    Controllers,
    check_available,
    number_in,
    quota_us,
)
from service.supervisor.process.tree import Tree

# Missing on a kernel without swap.
_SWAP_LIMIT: Final = "memory.swap.max"


def open_controllers(token: str, cgroups: Cgroups | None) -> Controllers:
    """`token` names the state directory. What can't be had is in `missing`."""
    unified = cgroups.enable(sorted(CONTROLLERS.values())) if cgroups is not None else set()
    bases: dict[str, str] = {}
    missing: dict[str, str] = {}
    for limit, controller in CONTROLLERS.items():
        try:
            if controller not in unified:
                bases[controller] = cgroup_v1.make_base(controller, token)
        except OSError as exc:
            missing[limit] = f"no writable {controller} controller of cgroups is here: {exc}"
    if not bases:
        return UnifiedControllers(cgroups, missing)
    why = "the controllers here are of both versions of cgroups"
    missing |= {limit: why for limit, name in CONTROLLERS.items() if name in unified}
    return cgroup_v1.Hierarchies(bases, missing)


class UnifiedCgroup:
    """The cgroup of one job, in version 2."""

    __slots__ = ("_path", "oom_seen")

    def __init__(self, path: str, *, oom_seen: int = 0) -> None:
        self._path = path
        self.oom_seen = oom_seen

    @property
    def procs_files(self) -> list[str]:
        return [f"{self._path}/cgroup.procs"]

    def placement(self, tree: Tree) -> AbstractContextManager[None]:
        return tree.branding()  # it is the tree's own cgroup, which the child enters by itself

    def ran_out_of_memory(self) -> bool:
        before = self.oom_seen
        self.oom_seen = number_in(f"{self._path}/memory.events", b"oom_kill ")
        return self.oom_seen > before

    def memory_bytes(self) -> int | None:
        return memory_in(f"{self._path}/memory.current", f"{self._path}/memory.stat")

    def peak_bytes(self) -> int | None:
        return number_in(f"{self._path}/memory.peak") or None

    def remove(self) -> None:
        pass  # the tree removes its cgroup


class UnifiedControllers:
    """The controllers of version 2, as far as they aren't missing."""

    def __init__(self, cgroups: Cgroups | None, missing: dict[str, str]) -> None:
        """`cgroups` may be None only when all are missing."""
        self._cgroups = cgroups
        self.missing = missing

    def make(self, job_id: str, *, memory: int, cpus: float, pids: int) -> UnifiedCgroup:
        check_available(self.missing, memory=memory, cpus=cpus, pids=pids)
        assert self._cgroups is not None  # noqa: S101 - not everything is missing
        self._cgroups.make(job_id)
        directory = f"{self._cgroups.path}/{job_id}"
        for file, text in _settings(memory=memory, cpus=cpus, pids=pids):
            path = Path(directory, file)
            if file != _SWAP_LIMIT or path.exists():
                path.write_text(text)
        return UnifiedCgroup(directory)

    def resume(self, job_id: str, oom_seen: int) -> UnifiedCgroup | None:
        if self._cgroups is None:
            return None
        return UnifiedCgroup(f"{self._cgroups.path}/{job_id}", oom_seen=oom_seen)

    def reap_orphans(self, kept: Collection[str] = ()) -> int:  # noqa: ARG002 - as above
        return 0  # `Cgroups.reap_orphans` has done it

    def close(self) -> None:
        pass


def _settings(*, memory: int, cpus: float, pids: int) -> Iterator[tuple[str, str]]:
    if memory:
        yield "memory.max", str(memory)
        yield _SWAP_LIMIT, "0"
    if cpus:
        yield "cpu.max", f"{quota_us(cpus)} {PERIOD_US}"
    if pids:
        yield "pids.max", str(pids)
