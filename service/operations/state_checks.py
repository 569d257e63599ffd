"""Checks of the settings, the state directory, and the processes that use it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import service
from service import state_dir
from service.operations.findings import Fault, Severity
from service.operations.supervisor import NoSupervisor, OtherSupervisor, greeting
from service.paths import StateDir
from service.settings import Settings
from service.store.schema import VERSION

# Jobs with leftovers, or with kept processes, that are named.
_LISTED: Final = 5
_AS_SERVICE_USER: Final = "Run this as the service's user."
_RESUME: Final = "Run `jobrunner resume` to have it take jobs again."
_RESTORE: Final = (
    "Stop the service, and restore jobs.db from a copy, or move it away to start with none."
)


def unknown_settings(settings: Settings) -> Iterator[str | Fault]:
    """Variables with the prefix that are no settings."""
    for unknown in settings.unknown:
        yield Fault(str(unknown), "Is it misspelt?")
    if not settings.unknown:
        yield "All settings are valid."


def directory(settings: Settings) -> Iterator[str | Fault]:
    """Whether only the service can change what is in the state directory."""
    path = settings.state_dir
    try:
        path.stat()
    except FileNotFoundError:
        yield f"The state directory {path} does not exist yet; the service creates it."
        return
    except OSError as exc:
        text = f"The state directory {path} can't be read: {exc.strerror}."
        yield Fault(text, _AS_SERVICE_USER)
        return
    if (wrong := state_dir.fault(path)) is not None:
        advice = (
            "Run this and the service as its owner, on a writable file system, where only root and"
            " the owner may write to it and to each directory above it (chmod go-w)."
        )
        yield Fault(wrong, advice)
        return
    yield f"The state directory {path} belongs to this user and is writable."


def service_process(settings: Settings) -> Iterator[str | Fault]:
    """Whether a service runs."""
    try:
        pid = state_dir.holder(settings.state_dir)
    except OSError as exc:
        yield Fault(f"Can't see whether a service runs: {exc.strerror}.", _AS_SERVICE_USER)
        return
    yield "No service runs on it." if pid is None else f"A service runs on it, pid {pid or '?'}."


def records(settings: Settings) -> Iterator[str | Fault]:
    """Whether the records can be read, and are intact."""
    path = StateDir(settings.state_dir).records
    try:
        path.stat()
    except OSError:
        yield "There are no records yet."
        return
    try:
        # Read-only: the file may be a newer release's.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            (schema,) = db.execute("PRAGMA user_version").fetchone()
            if schema > VERSION:
                text = f"The records have schema version {schema}; this release knows {VERSION}."
                yield Fault(text, "Install a release that is as new as the one that wrote them.")
                return
            lines = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
            (jobs,) = db.execute("SELECT count(*) FROM jobs").fetchone()
            left = _leftovers(db) if schema == VERSION else []
    except sqlite3.Error as exc:
        yield Fault(f"The records can't be read: {exc}.", _RESTORE)
        return
    if lines != ["ok"]:
        yield Fault(f"The records are damaged: {lines[0]}.", _RESTORE)
        return
    yield f"The records are intact: schema version {schema}, {jobs} jobs."
    if left:
        yield Fault(
            f"Files of jobs can't be removed: {'; '.join(left)}.",
            "Unmount, chattr -i or remove what is there; retention tries again within an hour.",
            Severity.WARNING,
        )


def _leftovers(db: sqlite3.Connection) -> list[str]:
    """The first of them, and how many more there are."""
    (count,) = db.execute("SELECT count(*) FROM leftovers").fetchone()
    sql = "SELECT id, path, why FROM leftovers ORDER BY tried_at DESC LIMIT ?"
    lines = [f"{path} of {job}: {why}" for job, path, why in db.execute(sql, (_LISTED,))]
    return lines if count <= _LISTED else [*lines, f"and of {count - _LISTED} more jobs"]


def supervisor(settings: Settings) -> Iterator[str | Fault]:
    """Whether the supervisor responds, and is of this release."""
    try:
        hello = asyncio.run(greeting(settings.state_dir))
    except OtherSupervisor as exc:
        text = str(exc)
        yield Fault(
            f"{text[0].upper()}{text[1:]}.",
            "Wait for its jobs to end, stop it (TERM to its pid), then start the service.",
        )
        return
    except NoSupervisor as exc:
        if _is_held(settings.state_dir):
            log = StateDir(settings.state_dir).supervisor_log
            yield Fault(
                f"A service runs, and {exc}.", f"See {log}; the service retries each second."
            )
        else:
            yield "No supervisor runs; the service starts one."
        return
    parts = f"pid {hello['pid']}, version {hello['version']}, protocol {hello['protocol']}"
    text = f"The supervisor responds: {parts}, {len(hello['jobs'])} live jobs."
    if hello["version"] == service.__version__:
        yield text
        return
    yield Fault(
        f"{text} This release is version {service.__version__}.",
        "Run: jobrunner supervisor upgrade",
        Severity.WARNING,
    )


def drain(settings: Settings) -> Iterator[str | Fault]:
    """Whether the service takes jobs, as far as nobody has it drain."""
    try:
        hello = asyncio.run(greeting(settings.state_dir))
    except NoSupervisor:
        if StateDir(settings.state_dir).drain.exists():
            yield Fault("The service drained when its supervisor ended.", _RESUME)
        return
    if "draining" in hello:
        yield Fault("The service drains: it takes no new job, and starts no pending one.", _RESUME)
    else:
        yield "The service doesn't drain."


def kept(settings: Settings) -> Iterator[str | Fault]:
    """How many finished jobs have left processes running."""
    try:
        jobs = sorted(path.name for path in StateDir(settings.state_dir).kept.glob("[!.]*"))
    except OSError as exc:
        yield Fault(f"Can't see what jobs have left running: {exc.strerror}.", _AS_SERVICE_USER)
        return
    if not jobs:
        yield "No finished job has left processes running."
        return
    names = ", ".join(jobs[:_LISTED]) + (", …" if len(jobs) > _LISTED else "")
    yield f"Finished jobs that left processes running, as they asked to: {len(jobs)} ({names})."


def _is_held(path: Path) -> bool:
    try:
        return state_dir.holder(path) is not None
    except OSError:
        return False
