"""What is wrong on this box, found out without changing anything: the checks of `jobrunner doctor`.

Each check looks at one thing and answers with findings: a verdict, what was seen, and what to do
about it. None depends on a running service, and none starts a supervisor.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import service
from service import state_dir
from service.kinds.settings import read_settings
from service.operations.confined import callers, confined
from service.operations.findings import Finding, Verdict
from service.operations.kinds import leftovers, usable
from service.operations.supervisor import NoSupervisor, greeting
from service.paths import StateDir
from service.settings import SettingError, Settings
from service.store.free_space import FreeSpace
from service.store.schema import VERSION
from service.supervisor.claims import SPARE_DESCRIPTORS
from service.supervisor.job.log import JOB_DESCRIPTORS
from service.supervisor.process.cgroup import why_unusable

# The first kernel that has cgroup.kill.
_KERNEL: Final = (5, 14)
# Free bytes below which submissions may soon be refused.
_LOW_FREE_BYTES: Final = 1 << 30
# Watches that one user should have: one per job that somebody follows, and per worker.
_LOW_WATCHES: Final = 8192
_LOW_INSTANCES: Final = 64


def examine(*, fix: bool = False) -> list[Finding]:
    """Every finding, in the order in which an operator would look. `fix` removes what jobs that are
    over left behind; nothing else is ever changed.
    """
    try:
        settings = read_settings()
    except SettingError as exc:
        advice = "Mend the variable; the service does not start with it."
        return [Finding("settings", Verdict.PROBLEM, str(exc), advice), *_versions()]
    checks: list[Callable[[Settings], Iterator[Finding]]] = [
        _settings,
        _directory,
        _service,
        _records,
        _supervisor,
        _free_space,
        _descriptors,
    ]
    findings = [finding for check in checks for finding in check(settings)]
    findings += [*_cgroup(settings), *_inotify(), *callers(settings), *confined(settings)]
    return [*findings, *usable(settings), *leftovers(settings, fix=fix), *_versions()]


def _settings(settings: Settings) -> Iterator[Finding]:
    for variable in settings.unknown:
        text = f"{variable} is no setting, and is ignored."
        yield Finding("settings", Verdict.WARNING, text, "Is it misspelt?")
    if not settings.unknown:
        yield Finding("settings", Verdict.OK, "All settings can be read.")


def _directory(settings: Settings) -> Iterator[Finding]:
    path = settings.state_dir
    try:
        path.stat()
    except FileNotFoundError:
        text = f"The state directory {path} does not exist yet; the service makes it."
        yield Finding("state directory", Verdict.OK, text)
        return
    except OSError as exc:
        text = f"The state directory {path} can't be looked at: {exc.strerror}."
        yield Finding("state directory", Verdict.PROBLEM, text, "Run this as the service's user.")
        return
    if (wrong := state_dir.fault(path)) is not None:
        advice = (
            "Run this and the service as its owner, on a file system that can be written to, where"
            " only root and the owner may write to it and to each directory above it (chmod go-w)."
        )
        yield Finding("state directory", Verdict.PROBLEM, wrong, advice)
        return
    text = f"The state directory {path} is ours and can be written to."
    yield Finding("state directory", Verdict.OK, text)


def _service(settings: Settings) -> Iterator[Finding]:
    try:
        pid = state_dir.holder(settings.state_dir)
    except OSError as exc:
        text = f"Whether a service runs can't be seen: {exc.strerror}."
        yield Finding("service", Verdict.WARNING, text, "Run this as the service's user.")
        return
    text = "No service runs on it." if pid is None else f"A service runs on it, pid {pid or '?'}."
    yield Finding("service", Verdict.OK, text)


def _records(settings: Settings) -> Iterator[Finding]:
    path = StateDir(settings.state_dir).records
    try:
        path.stat()
    except OSError:
        yield Finding("records", Verdict.OK, "There are no records yet.")
        return
    try:
        # Read-only: also a file of a newer release may be looked at.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            (schema,) = db.execute("PRAGMA user_version").fetchone()
            if schema > VERSION:
                text = f"The records have schema version {schema}, this release knows {VERSION}."
                advice = "Install a release that is as new as the one that wrote them."
                yield Finding("records", Verdict.PROBLEM, text, advice)
                return
            said = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
            (jobs,) = db.execute("SELECT count(*) FROM jobs").fetchone()
    except sqlite3.Error as exc:
        advice = "Stop the service, and put a copy of jobs.db back, or move it away to start anew."
        yield Finding("records", Verdict.PROBLEM, f"The records can't be read: {exc}.", advice)
        return
    if said != ["ok"]:
        text = f"The records are damaged: {said[0]}."
        advice = "Stop the service, and put a copy of jobs.db back, or move it away to start anew."
        yield Finding("records", Verdict.PROBLEM, text, advice)
        return
    text = f"The records are whole: schema version {schema}, {jobs} jobs."
    yield Finding("records", Verdict.OK, text)


def _supervisor(settings: Settings) -> Iterator[Finding]:
    try:
        hello = asyncio.run(greeting(settings.state_dir))
    except NoSupervisor as exc:
        if _is_held(settings.state_dir):
            text = f"A service runs, and {exc}."
            advice = (
                f"See {StateDir(settings.state_dir).supervisor_log}; the service tries each second."
            )
            yield Finding("supervisor", Verdict.PROBLEM, text, advice)
        else:
            text = "No supervisor runs; the service starts one."
            yield Finding("supervisor", Verdict.OK, text)
        return
    told = f"pid {hello['pid']}, version {hello['version']}, protocol {hello['protocol']}"
    text = f"The supervisor answers: {told}, {len(hello['jobs'])} live jobs."
    if hello["version"] != service.__version__:
        text += f" This release is version {service.__version__}."
        advice = "Run: jobrunner supervisor upgrade"
        yield Finding("supervisor", Verdict.WARNING, text, advice)
        return
    yield Finding("supervisor", Verdict.OK, text)


def _is_held(path: Path) -> bool:
    try:
        return state_dir.holder(path) is not None
    except OSError:
        return False


def _free_space(settings: Settings) -> Iterator[Finding]:
    existing = next(p for p in (settings.state_dir, *settings.state_dir.parents) if p.is_dir())
    free = FreeSpace.of(existing)
    text = f"{free.bytes} bytes are free where {settings.state_dir} is."
    advice = "Make room, or clean finished jobs (JOBRUNNER_RETAIN_BYTES does it by itself)."
    if (why := free.shortage()) is not None:
        yield Finding("free space", Verdict.PROBLEM, f"{why} Submissions are refused.", advice)
    elif free.bytes < _LOW_FREE_BYTES:
        yield Finding("free space", Verdict.WARNING, text, advice)
    else:
        yield Finding("free space", Verdict.OK, text)


def _descriptors(settings: Settings) -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    suffices = max(1, (hard - SPARE_DESCRIPTORS) // JOB_DESCRIPTORS)
    if suffices < settings.max_running:
        text = (
            f"A process started here may open {hard} files: enough for about {suffices} running"
            f" jobs, and JOBRUNNER_MAX_RUNNING is {settings.max_running}."
        )
        advice = "Raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower the setting."
        yield Finding("open files", Verdict.WARNING, text, advice)
        return
    text = f"A process started here may open {hard} files."
    yield Finding("open files", Verdict.OK, text)


def _cgroup(settings: Settings) -> Iterator[Finding]:
    if settings.cgroup == "off":
        text = "Cgroups are off: processes of a job are found by walking the tree."
        yield Finding("cgroup", Verdict.OK, text)
        return
    why = why_unusable()
    if why is None:
        text = "A cgroup of version 2 can be written to: no process of a job escapes."
        yield Finding("cgroup", Verdict.OK, text)
        return
    text = (
        f"No cgroup of version 2 can be written to ({why}): processes of a job are found by walking"
        " the tree, and one that drops its environment, session and parent escapes."
    )
    advice = "Delegate a cgroup (Delegate=yes in a systemd unit), or live with it."
    yield Finding("cgroup", Verdict.WARNING, text, advice)


def _inotify() -> Iterator[Finding]:
    limits = Path("/proc/sys/fs/inotify")
    try:
        watches = int((limits / "max_user_watches").read_text())
        instances = int((limits / "max_user_instances").read_text())
    except (OSError, ValueError) as exc:
        text = f"The kernel's limits of inotify can't be read: {exc}."
        yield Finding("inotify", Verdict.WARNING, text)
        return
    text = f"Inotify: {watches} files can be followed at a time, by {instances} processes."
    if watches < _LOW_WATCHES or instances < _LOW_INSTANCES:
        advice = (
            f"Run: sysctl fs.inotify.max_user_watches={_LOW_WATCHES}"
            f" fs.inotify.max_user_instances={_LOW_INSTANCES}"
        )
        yield Finding("inotify", Verdict.WARNING, text, advice)
    else:
        yield Finding("inotify", Verdict.OK, text)


def _versions() -> Iterator[Finding]:
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
        advice = "Kernels before 5.14 have no cgroup.kill: jobs' processes are killed one by one."
        yield Finding("versions", Verdict.WARNING, text, advice)
    else:
        yield Finding("versions", Verdict.OK, text)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
