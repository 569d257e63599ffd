"""Checks of what the host offers: space, descriptors, cgroups, inotify, versions."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import service
from service.operations.findings import Fault, Severity
from service.settings import Settings
from service.store.free_space import FreeSpace
from service.supervisor.claims import SPARE_DESCRIPTORS
from service.supervisor.job.log import JOB_DESCRIPTORS
from service.supervisor.process.cgroup import why_unusable

# The first kernel with cgroup.kill.
_KERNEL: Final = (5, 14)
# Free bytes below which submissions may soon be refused.
_LOW_FREE_BYTES: Final = 1 << 30
# Watches that one user should have: one per job that is followed, and per worker.
_LOW_WATCHES: Final = 8192
_LOW_INSTANCES: Final = 64


def free_space(settings: Settings) -> Iterator[str | Fault]:
    """Whether there is space for more output."""
    existing = next(p for p in (settings.state_dir, *settings.state_dir.parents) if p.is_dir())
    free = FreeSpace.of(existing)
    text = f"{free.bytes} bytes are free where {settings.state_dir} is."
    advice = "Free some space, or clean finished jobs (JOBRUNNER_RETAIN_BYTES does that by itself)."
    if (why := free.shortage()) is not None:
        yield Fault(f"{why} Submissions are refused.", advice)
    elif free.bytes < _LOW_FREE_BYTES:
        yield Fault(text, advice, Severity.WARNING)
    else:
        yield text


def open_files(settings: Settings) -> Iterator[str | Fault]:
    """Whether the limit on descriptors suffices for the running jobs that are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    suffices = max(1, (hard - SPARE_DESCRIPTORS) // JOB_DESCRIPTORS)
    if suffices < settings.max_running:
        text = (
            f"A process started here may open {hard} files: enough for about {suffices} running"
            f" jobs, and JOBRUNNER_MAX_RUNNING is {settings.max_running}."
        )
        yield Fault(text, "Raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower the setting.")
        return
    yield f"A process started here may open {hard} files."


def cgroup(settings: Settings) -> Iterator[str | Fault]:
    """Whether a process can escape from its job."""
    if settings.cgroup == "off":
        yield "Cgroups are off: a job's processes are found by walking the process tree."
        return
    why = why_unusable()
    if why is None:
        yield "A cgroup v2 is writable: no process of a job escapes."
        return
    text = (
        f"No cgroup v2 is writable ({why}): a job's processes are found by walking the process"
        " tree, and one that drops its environment, session and parent escapes."
    )
    yield Fault(
        text,
        "Delegate a cgroup (Delegate=yes in a systemd unit; as an ordinary user: systemd-run --user"
        " -p Delegate=yes jobrunner serve), or accept that.",
    )


def inotify(_settings: Settings) -> Iterator[str | Fault]:
    """Whether enough logs can be followed at a time."""
    limits = Path("/proc/sys/fs/inotify")
    try:
        watches = int((limits / "max_user_watches").read_text())
        instances = int((limits / "max_user_instances").read_text())
    except (OSError, ValueError) as exc:
        yield Fault(f"The kernel's inotify limits can't be read: {exc}.")
        return
    text = f"inotify: {watches} files can be followed at a time, by {instances} processes."
    if watches < _LOW_WATCHES or instances < _LOW_INSTANCES:
        advice = (
            f"Run: sysctl fs.inotify.max_user_watches={_LOW_WATCHES}"
            f" fs.inotify.max_user_instances={_LOW_INSTANCES}"
        )
        yield Fault(text, advice)
    else:
        yield text


def versions(_settings: Settings | None) -> Iterator[str | Fault]:
    """The versions of everything that matters. Needs no settings."""
    kernel = os.uname().release
    parts = [
        f"jobrunner {service.__version__}",
        f"Python {platform.python_version()} ({sys.executable})",
        f"Linux {kernel}",
        f"SQLite {sqlite3.sqlite_version}",
        *(f"{name} {_version(name)}" for name in ("sanic", "uvloop")),
    ]
    text = ", ".join(parts) + "."
    numbers = tuple(int(part) for part in kernel.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < _KERNEL:
        yield Fault(
            text, "Kernels before 5.14 have no cgroup.kill: processes are killed one by one."
        )
    else:
        yield text


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
