"""What is still there: processes, cgroups and descriptors, as the kernel shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from work import MARK

from service.supervisor.process.marks import mark_of

# Of a job.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            yield int(name)


def _read(pid: int, name: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().split(b"\0")
    except OSError:
        return []


def _is_dead(pid: int) -> bool:
    stat = b"\0".join(_read(pid, "stat"))
    return not stat or stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")


def of_jobs(run: str) -> list[int]:
    """Living processes of jobs of this run."""
    variable = f"{MARK}={run}".encode()
    return [pid for pid in _pids() if variable in _read(pid, "environ") and not _is_dead(pid)]


def supervisors(state_dir: Path) -> list[int]:
    """Living supervisors of the directory, those that only ask to become one among them."""
    found = []
    for pid in _pids():
        words = _read(pid, "cmdline")
        is_one = b"service.supervisor" in words and b"--can-resume" not in words
        if is_one and os.fsencode(state_dir) in words and not _is_dead(pid):
            found.append(pid)
    return found


def cgroups(state_dir: Path) -> list[str]:
    """Directories of jobs in any hierarchy of cgroups."""
    name = f"jobrunner-{mark_of(state_dir)}"
    found = []
    for parent, directories, _ in os.walk("/sys/fs/cgroup"):
        if Path(parent).name == name:
            found += [f"{parent}/{directory}" for directory in directories]
    return found


def descriptors_of_jobs(pid: int, state_dir: Path, *, pipes: bool) -> list[str]:
    """Open files of jobs that a process holds; with `pipes` every pipe counts."""
    found = []
    for name in _names(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        is_of_job = target.startswith(f"{state_dir}/") and _ID.search(target)
        # 0 to 2 are what it was started with.
        if is_of_job or (pipes and int(name) > 2 and target.startswith(("pipe:", "/memfd:"))):
            found.append(target)
    return found


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
