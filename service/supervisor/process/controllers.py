"""The kernel's controllers of memory, processors and processes, of either version of cgroups.

Version 2: the job's own cgroup carries the limits, where the controllers are delegated and the
supervisor is alone in its cgroup, as in a unit of its own with `Delegate=yes`. Version 1: the job
has a directory in the hierarchy of each controller.

The kernel ends one process of a job that is out of memory, not all (`memory.oom.group` stays 0): a
command whose child was too big goes on or fails as it was written to, alike under both versions.
Source: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst in the kernel's tree.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from service.host.procfs import look_at, signal_process
from service.supervisor.process.cgroup import Cgroups

# The limit that each controller keeps.
_LIMITS: Final = {"memory": "memory", "cpus": "cpu", "pids": "pids"}
# Microseconds in which a quota of processor time is counted; the kernel's own default.
_PERIOD_US: Final = 100_000
# The file that shows that a hierarchy of version 1 really has that controller.
_SIGN: Final = {"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us", "pids": "pids.max"}
# Seconds for a killed process to go.
_GONE_S: Final = 10.0


class Fence:
    """The directories of one job. `is_the_trees`: it is the cgroup that its tree is kept by."""

    __slots__ = ("_directories", "_lingering", "_oom_seen", "is_the_trees")

    def __init__(
        self, directories: dict[str, str], lingering: set[str], *, is_the_trees: bool
    ) -> None:
        """`directories`: controller → directory; of what can't be removed now `lingering` knows."""
        self._directories = directories
        self._lingering = lingering
        self._oom_seen = 0
        self.is_the_trees = is_the_trees

    @property
    def doors(self) -> list[str]:
        """Files by which one enters who writes a 0 into them."""
        return [f"{path}/cgroup.procs" for path in sorted(set(self._directories.values()))]

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has ended a process for it since this was asked before."""
        if "memory" not in self._directories:
            return False
        name = "memory.events" if self.is_the_trees else "memory.oom_control"
        before, self._oom_seen = self._oom_seen, self._number_in(name, b"oom_kill ")
        return self._oom_seen > before

    def peak_bytes(self) -> int | None:
        """The most memory that the job had; None where the kernel doesn't tell."""
        if "memory" not in self._directories:
            return None
        name = "memory.peak" if self.is_the_trees else "memory.max_usage_in_bytes"
        return self._number_in(name, b"") or None

    def remove(self) -> None:
        """Remove what is empty; the rest is tried again with the next job's."""
        if not self.is_the_trees:
            self._lingering.update(self._directories.values())
            for directory in list(self._lingering):
                with suppress(OSError):
                    os.rmdir(directory)
                    self._lingering.discard(directory)

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor."""
        return {
            "directories": self._directories,
            "oom_seen": self._oom_seen,
            "is_the_trees": self.is_the_trees,
        }

    def _number_in(self, name: str, key: bytes) -> int:
        with suppress(OSError):
            for line in Path(self._directories["memory"], name).read_bytes().splitlines():
                if line.startswith(key):
                    return int(line[len(key) :])
        return 0


class Controllers:
    """What there is of them for one state directory. `missing`: limit → why it can't be kept."""

    def __init__(
        self, cgroups: Cgroups | None, bases: dict[str, str], missing: dict[str, str]
    ) -> None:
        """`bases`: controller of version 1 → where jobs have their directories; the others of those
        that aren't missing are of version 2.
        """
        self._cgroups = cgroups
        self._bases = bases
        self.missing = missing
        self._lingering: set[str] = set()

    @classmethod
    def open(cls, token: str, cgroups: Cgroups | None) -> Controllers:
        """`token` names the state directory. What can't be had is in `missing`."""
        unified = cgroups.enable(sorted(set(_LIMITS.values()))) if cgroups is not None else set()
        bases: dict[str, str] = {}
        missing: dict[str, str] = {}
        for limit, controller in _LIMITS.items():
            try:
                if controller not in unified:
                    bases[controller] = _make_base(controller, token)
            except OSError as exc:
                missing[limit] = f"no writable {controller} controller of cgroups is here: {exc}"
        if bases and unified:
            why = "the controllers here are of both versions of cgroups"
            missing |= {limit: why for limit, name in _LIMITS.items() if name in unified}
        return cls(cgroups, bases, missing)

    def make(self, job_id: str, *, memory: int, cpus: float, pids: int) -> Fence:
        """The job's directories with these limits; 0 is none. Raises: OSError."""
        asked = {"memory": memory, "cpus": cpus, "pids": pids}
        for limit, value in asked.items():
            if value and limit in self.missing:
                raise OSError(self.missing[limit])
        for base in self._bases.values():
            # All of them, once there is one: what is counted there is worth as much.
            with suppress(FileExistsError):
                os.mkdir(f"{base}/{job_id}", 0o755)
        fence = {name: f"{base}/{job_id}" for name, base in self._bases.items()}
        in_trees = not self._bases and self._cgroups is not None
        if in_trees:
            assert self._cgroups is not None  # noqa: S101 - for mypy; seen just now
            self._cgroups.make(job_id)
            fence = dict.fromkeys(_LIMITS.values(), f"{self._cgroups.path}/{job_id}")
        for file, text in _settings(unified=in_trees, memory=memory, cpus=cpus, pids=pids):
            path = Path(fence[file.partition(".")[0]], file)
            if path.exists() or "sw" not in file:  # a kernel without swap has no file for it
                path.write_text(text)
        return Fence(fence, self._lingering, is_the_trees=in_trees)

    def restore(self, state: dict[str, Any]) -> Fence:
        """The fence that `state` describes."""
        fence = Fence(state["directories"], self._lingering, is_the_trees=state["is_the_trees"])
        fence._oom_seen = state["oom_seen"]  # noqa: SLF001 - its own state
        return fence

    def sweep(self) -> int:
        """Remove what a dead supervisor's jobs left, killing what is in there; how many jobs."""
        jobs = set()
        for base in self._bases.values():
            for directory in [entry for entry in Path(base).iterdir() if entry.is_dir()]:
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


def _settings(*, unified: bool, memory: int, cpus: float, pids: int) -> Iterator[tuple[str, str]]:
    quota = max(1000, round(cpus * _PERIOD_US))
    if memory and unified:
        yield "memory.max", str(memory)
        yield "memory.swap.max", "0"
    elif memory:
        yield "memory.limit_in_bytes", str(memory)
        yield "memory.memsw.limit_in_bytes", str(memory)
    if cpus and unified:
        yield "cpu.max", f"{quota} {_PERIOD_US}"
    elif cpus:
        yield "cpu.cfs_period_us", str(_PERIOD_US)
        yield "cpu.cfs_quota_us", str(quota)
    if pids:
        yield "pids.max", str(pids)


def _make_base(controller: str, token: str) -> str:
    """Where jobs have their directories of a controller of version 1. Raises: OSError."""
    base = _own_directory(controller) / f"jobrunner-{token}"
    base.mkdir(mode=0o755, exist_ok=True)
    if not (base / _SIGN[controller]).exists():
        raise OSError(f"{base} has no {_SIGN[controller]}")
    if not os.access(base / "cgroup.procs", os.W_OK):
        raise OSError(f"{base} can't be written to")
    return str(base)


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
