"""Cgroups of version 2: one below the supervisor's own for all jobs, one in it per job.

They keep track of a job's processes and kill them (`cgroup.kill`, Linux 5.14); no controller has to
be delegated. The parent enters the job's cgroup, spawns, and returns: that keeps vfork, and at no
moment is the child outside.
Source: Documentation/admin-guide/cgroup-v2.rst in the kernel's tree.
"""

from __future__ import annotations

import os
import select
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

# Seconds for cgroup.kill to take effect on the orphans of a dead supervisor.
_REAP_S = 10.0
# What the supervisor's own cgroup is called beside that of all jobs, where it needs one.
_LEAF = "-supervisor"


class Cgroup:
    """The cgroup of one job; as a context manager: the calling process is inside meanwhile."""

    __slots__ = ("_home", "_path")

    def __init__(self, path: str, home: int) -> None:
        self._path = path
        self._home = home

    def __enter__(self) -> None:
        _write(f"{self._path}/cgroup.procs", b"0")

    def __exit__(self, *_: object) -> None:
        os.pwrite(self._home, b"0", 0)

    def pids(self) -> Iterator[int]:
        """Every member, those of cgroups that the job made inside its own included."""
        for directory, _, _ in os.walk(self._path):
            try:
                text = Path(directory, "cgroup.procs").read_bytes()
            except OSError:
                continue
            yield from map(int, text.split())

    def kill(self) -> None:
        _write(f"{self._path}/cgroup.kill", b"1")

    def is_populated(self) -> bool:
        """Whether a process of it lives; one small read."""
        return b"populated 0" not in _read(f"{self._path}/cgroup.events")

    def cpu_s(self) -> float | None:
        """Processor time of all its processes, dead ones too; version 2 counts it by itself."""
        try:
            key, number = _read(f"{self._path}/cpu.stat").split(maxsplit=2)[:2]
        except OSError:
            return None
        return int(number) / 1e6 if key == b"usage_usec" else None

    def memory_bytes(self) -> int | None:
        """Memory of all its processes; None without the controller."""
        return memory_in(f"{self._path}/memory.current", f"{self._path}/memory.stat")

    def remove(self) -> None:
        """Remove the cgroup and what the job made inside."""
        with suppress(OSError):
            os.rmdir(self._path)
            return  # it had made nothing
        for directory, _, _ in os.walk(self._path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                return  # something is stuck in the kernel; the next supervisor reaps it


class Cgroups:
    """The parent of all jobs' cgroups of one state directory.

    Raises: OSError from `open`, when no cgroup v2 is writable here.
    """

    def __init__(self, path: Path, home: int) -> None:
        self._path = path
        self._home = home

    @classmethod
    def open(cls, token: str) -> Cgroups:
        """`token` names the state directory: a supervisor finds the orphans of a dead one by it."""
        present = own = _own_cgroup()
        if own.name == f"jobrunner-{token}{_LEAF}":
            own = own.parent  # an earlier image of this process moved there
        path = own / f"jobrunner-{token}"
        path.mkdir(mode=0o755, exist_ok=True)
        home = os.open(present / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            # In and out once, so that a failure shows before the first job.
            _write(str(path / "cgroup.procs"), b"0")
            os.pwrite(home, b"0", 0)
            if not (path / "cgroup.kill").exists():
                raise OSError("this kernel has no cgroup.kill")
        except OSError:
            os.close(home)
            raise
        return cls(path, home)

    @property
    def path(self) -> str:
        """Where jobs have their cgroups."""
        return str(self._path)

    def enable(self, controllers: list[str]) -> set[str]:
        """Enable these controllers for jobs' cgroups; returns those that are enabled.

        A cgroup with processes can't pass controllers on, so this process moves to one of its own;
        that fails where it isn't alone. Source: "No Internal Process Constraint" of cgroup-v2.rst.
        """
        own = self._path.parent
        offered = set(controllers) & set((own / "cgroup.controllers").read_text().split())
        if not offered:
            return set()
        leaf = own / f"{self._path.name}{_LEAF}"
        with suppress(FileExistsError):
            leaf.mkdir(0o755)
        home = os.open(leaf / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(home, b"0", 0)
            for directory in (own, self._path):
                _write(
                    str(directory / "cgroup.subtree_control"),
                    " ".join(f"+{name}" for name in sorted(offered)).encode(),
                )
        except OSError:
            os.pwrite(self._home, b"0", 0)
            os.close(home)
            with suppress(OSError):
                leaf.rmdir()
            return set()
        os.close(self._home)
        self._home = home
        return offered

    def make(self, job_id: str) -> Cgroup:
        """The cgroup of a job; one that an earlier image of this process made is taken as it is."""
        path = f"{self._path}/{job_id}"
        with suppress(FileExistsError):
            os.mkdir(path, 0o755)
        return Cgroup(path, self._home)

    def reap_orphans(self, kept: Collection[str] = ()) -> int:
        """Kill what a dead supervisor left, but for the `kept` jobs, and wait until it is gone; the
        number of jobs found.
        """
        found = (entry for entry in self._path.iterdir() if entry.is_dir())
        orphans = [entry for entry in found if entry.name not in kept]
        for entry in orphans:
            _write(str(entry / "cgroup.kill"), b"1")
        for entry in orphans:
            _wait_empty(entry)
            for directory, _, _ in os.walk(entry, topdown=False):
                os.rmdir(directory)
        return len(orphans)

    def close(self) -> None:
        os.close(self._home)
        try:
            self._path.rmdir()
        except OSError:
            return  # the cgroup of a stuck job is still inside


def memory_in(usage: str, stat: str, key: bytes = b"inactive_file ") -> int | None:
    """The number in the file `usage`, without what `stat` has under `key`: pages of files that
    nobody has used lately, which the kernel drops when it wants memory. None without these files.
    """
    try:
        used = int(Path(usage).read_bytes())
        for line in Path(stat).read_bytes().splitlines():
            if line.startswith(key):
                return max(0, used - int(line[len(key) :]))
    except (OSError, ValueError):
        return None
    return used


def why_unusable() -> str | None:
    """Why a process started here can't use cgroups; None if it can. Changes nothing."""
    try:
        own = _own_cgroup()
    except OSError as exc:
        return str(exc)
    if not (os.access(own, os.W_OK | os.X_OK) and os.access(own / "cgroup.procs", os.W_OK)):
        return f"{own} can't be written to"
    if own.parent.joinpath("cgroup.procs").exists() and not (own / "cgroup.kill").exists():
        return "this kernel has no cgroup.kill"
    return None


def _own_cgroup() -> Path:
    """Source: cgroups(7): the line `0::/path` of /proc/self/cgroup, below the cgroup2 mount."""
    mount = None
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if right.split()[0] == "cgroup2":
                mount = left.split()[4]
                break
    if mount is None:
        raise OSError("no cgroup v2 is mounted")
    with open("/proc/self/cgroup") as file:
        for line in file:
            if line.startswith("0::"):
                return Path(mount + line[3:].rstrip("\n"))
    raise OSError("this process is in no cgroup of version 2")


def _wait_empty(path: Path) -> None:
    descriptor = os.open(path / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLPRI)
        while b"populated 0" not in os.pread(descriptor, 256, 0):
            if not poller.poll(_REAP_S * 1000):
                raise OSError(f"{path} could not be emptied within {_REAP_S:g} s")
    finally:
        os.close(descriptor)


def _read(path: str) -> bytes:
    """Its beginning; a file object costs more than the read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 256)
    finally:
        os.close(descriptor)


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
