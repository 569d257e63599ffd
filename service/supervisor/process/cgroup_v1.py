"""Limits by cgroups of version 1: a directory for each job in the hierarchy of each controller.

For hosts on which the controllers aren't in version 2. Nothing else depends on this module:
`controllers.py` chooses it.
Source: Documentation/admin-guide/cgroup-v1/ in the kernel's tree.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from service.host.procfs import look_at, signal_process
from service.supervisor.process.cgroup import memory_in
from service.supervisor.process.job_cgroup import PERIOD_US, check_available, number_in, quota_us
from service.supervisor.process.tree import Tree

# The file that shows that a hierarchy really has that controller.
_SIGN: Final = {"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us", "pids": "pids.max"}
# Missing on a kernel without swap.
_SWAP_LIMIT: Final = "memory.memsw.limit_in_bytes"
# Seconds for a killed process to go.
_GONE_S: Final = 10.0


class JobDirectories:
    """The directories of one job: controller → directory. `lingering`: directories whose rmdir
    failed, of all jobs; retried when the next job ends.
    """

    __slots__ = ("_directories", "_lingering", "oom_seen")

    def __init__(
        self, directories: dict[str, str], lingering: set[str], *, oom_seen: int = 0
    ) -> None:
        self._directories = directories
        self._lingering = lingering
        self.oom_seen = oom_seen

    @property
    def procs_files(self) -> list[str]:
        return [f"{path}/cgroup.procs" for path in sorted(set(self._directories.values()))]

    def placement(self, tree: Tree) -> AbstractContextManager[None]:
        return tree.spawning()  # the processes are found by version 2, or by a walk

    def ran_out_of_memory(self) -> bool:
        before, self.oom_seen = self.oom_seen, self._memory("memory.oom_control", b"oom_kill ")
        return self.oom_seen > before

    def memory_bytes(self) -> int | None:
        if (directory := self._directories.get("memory")) is None:
            return None
        usage, stat = f"{directory}/memory.usage_in_bytes", f"{directory}/memory.stat"
        return memory_in(usage, stat, b"total_inactive_file ")

    def peak_bytes(self) -> int | None:
        return self._memory("memory.max_usage_in_bytes") or None

    def remove(self) -> None:
        self._lingering.update(self._directories.values())
        for directory in list(self._lingering):
            with suppress(OSError):
                with suppress(FileNotFoundError):
                    os.rmdir(directory)
                self._lingering.discard(directory)

    def _memory(self, name: str, key: bytes = b"") -> int:
        directory = self._directories.get("memory")
        return 0 if directory is None else number_in(f"{directory}/{name}", key)


class Hierarchies:
    """The directories for all jobs of one state directory: controller → directory."""

    def __init__(self, bases: dict[str, str], missing: dict[str, str]) -> None:
        self._bases = bases
        self.missing = missing
        self._lingering: set[str] = set()

    def make(self, job_id: str, *, memory: int, cpus: float, pids: int) -> JobDirectories:
        check_available(self.missing, memory=memory, cpus=cpus, pids=pids)
        directories = self._directories(job_id)
        for directory in directories.values():
            # All of them, once there is one: what is counted there is worth as much.
            with suppress(FileExistsError):
                os.mkdir(directory, 0o755)
        for file, text in _settings(memory=memory, cpus=cpus, pids=pids):
            path = Path(directories[file.partition(".")[0]], file)
            if file != _SWAP_LIMIT or path.exists():
                path.write_text(text)
        return JobDirectories(directories, self._lingering)

    def resume(self, job_id: str, oom_seen: int) -> JobDirectories:
        return JobDirectories(self._directories(job_id), self._lingering, oom_seen=oom_seen)

    def reap_orphans(self, kept: Collection[str] = ()) -> int:
        jobs = set()
        for base in self._bases.values():
            found = [entry for entry in Path(base).iterdir() if entry.is_dir()]
            for directory in [entry for entry in found if entry.name not in kept]:
                jobs.add(directory.name)
                for inner, _, _ in os.walk(directory, topdown=False):
                    _empty(inner)
                    with suppress(OSError):
                        os.rmdir(inner)
        return len(jobs)

    def close(self) -> None:
        for base in self._bases.values():
            with suppress(OSError):
                os.rmdir(base)

    def _directories(self, job_id: str) -> dict[str, str]:
        return {name: f"{base}/{job_id}" for name, base in self._bases.items()}


def make_base(controller: str, token: str) -> str:
    """Make the directory for all jobs in the hierarchy of a controller. Raises: OSError."""
    base = _own_directory(controller) / f"jobrunner-{token}"
    base.mkdir(mode=0o755, exist_ok=True)
    if not (base / _SIGN[controller]).exists():
        raise OSError(f"{base} has no {_SIGN[controller]}")
    if not os.access(base / "cgroup.procs", os.W_OK):
        raise OSError(f"{base} can't be written to")
    return str(base)


def _settings(*, memory: int, cpus: float, pids: int) -> Iterator[tuple[str, str]]:
    if memory:
        yield "memory.limit_in_bytes", str(memory)
        yield _SWAP_LIMIT, str(memory)
    if cpus:
        yield "cpu.cfs_period_us", str(PERIOD_US)
        yield "cpu.cfs_quota_us", str(quota_us(cpus))
    if pids:
        yield "pids.max", str(pids)


def _own_directory(controller: str) -> Path:
    """Source: cgroups(7), /proc/self/cgroup; proc(5), the root of a mount in mountinfo."""
    with open("/proc/self/cgroup") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    paths = [path for _, names, path in lines if controller in names.split(",")]
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()[:3]
            if paths and kind == "cgroup" and controller in options.split(","):
                root, mount = left.split()[3:5]
                return Path(mount, os.path.relpath(paths[0], root))
    raise OSError("it is mounted nowhere")


def _empty(directory: str) -> None:
    """Kill every process in it, until none is found."""
    while True:
        with open(f"{directory}/cgroup.procs", "rb") as file:
            found = [p for pid in file.read().split() if (p := look_at(int(pid))) and not p.is_dead]
        if not found:
            return
        for process in found:
            with suppress(OSError):
                descriptor = os.pidfd_open(process.pid)
                try:
                    signal_process(process, signal.SIGKILL)
                    poller = select.poll()
                    poller.register(descriptor, select.POLLIN)
                    if not poller.poll(_GONE_S * 1000):
                        return  # stuck in the kernel
                finally:
                    os.close(descriptor)
