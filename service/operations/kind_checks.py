"""Checks of what each Kind of command needs, and of what its commands left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from service.jobs.states import LIVE
from service.kinds import KINDS, CannotRun, Kind, Orphan
from service.operations.findings import Fault
from service.paths import StateDir
from service.settings import Settings


def usable(kind: Kind, settings: Settings) -> Iterator[str | Fault]:
    """Whether commands of this Kind can run now."""
    fault = kind.fault(settings)
    if fault is None:
        yield f"Commands of the kind {kind.name} can run."
        for warning in kind.warnings(settings):
            yield Fault(f"{warning}.", "Ignore it where no job is affected.")
    elif not kind.is_set_up(settings):
        yield f"The kind {kind.name} isn't set up: {fault}"
    else:
        text = f"No command of the kind {kind.name} can run: {fault}"
        yield Fault(text, "Repair it if jobs have such commands; all others run.")


def orphans(settings: Settings) -> Iterator[str | Fault]:
    """What belongs to no live job. Yields nothing where that can't be seen."""
    for kind in KINDS.values():
        try:
            found = _orphans_of(kind, settings)
        except (CannotRun, sqlite3.Error):
            continue
        if found:
            text = f"Left behind by finished jobs of the kind {kind.name}: {_names(found)}."
            yield Fault(text, "Run: jobrunner doctor --fix")


def remove_orphans(settings: Settings) -> Iterator[str | Fault]:
    """Remove what belongs to no live job."""
    for kind in KINDS.values():
        try:
            if found := _orphans_of(kind, settings):
                kind.remove_orphans(settings, found)
                yield f"Removed what belongs to no live job: {_names(found)}."
        except (CannotRun, sqlite3.Error) as exc:
            if not kind.is_set_up(settings):
                continue  # it has run nothing that could be left
            yield Fault(f"What finished jobs left behind can't be removed: {exc}.")


def _names(found: list[Orphan]) -> str:
    return ", ".join(orphan.name for orphan in found)


def _orphans_of(kind: Kind, settings: Settings) -> list[Orphan]:
    found = kind.orphans(settings)
    live = _live(settings) if found else set()  # read after they were listed
    return [orphan for orphan in found if orphan.job_id not in live]


def _live(settings: Settings) -> set[str]:
    path = StateDir(settings.state_dir).records
    if not path.exists():
        return set()
    # Read-only: the doctor changes no records, and they may be a newer release's.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT id, state FROM jobs").fetchall()
    return {job_id for job_id, state in rows if state in LIVE}
