"""The checks of what Kinds of command need, and of what their commands left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from service.jobs.lifecycle import LIVE
from service.kinds import KINDS, CannotRun, Kind, Orphan
from service.operations.findings import Finding, Verdict
from service.paths import StateDir
from service.settings import Settings


def usable(settings: Settings) -> Iterator[Finding]:
    """Whether commands of each Kind can run now. One that can't is no problem of the service."""
    for kind in KINDS.values():
        check = f"kind {kind.name}"
        fault = kind.fault(settings)
        if fault is None:
            text = f"Commands of the kind {kind.name} can run."
            yield Finding(check, Verdict.OK, text)
        else:
            text = f"No command of the kind {kind.name} can run: {fault}"
            advice = "Mend it, if jobs have such commands; all others run."
            yield Finding(check, Verdict.WARNING, text, advice)


def leftovers(settings: Settings, *, fix: bool) -> Iterator[Finding]:
    """What belongs to no live job; `fix` removes it. Where it can't be seen, nothing is said."""
    for kind in KINDS.values():
        try:
            found = _left(kind, settings)
            if not found:
                continue
            names = ", ".join(leftover.name for leftover in found)
            if fix:
                kind.remove_orphans(settings, found)
                yield Finding("leftovers", Verdict.OK, f"Removed what no live job has: {names}.")
            else:
                text = f"Left behind by jobs of the kind {kind.name} that are over: {names}."
                advice = "Run: jobrunner doctor --fix"
                yield Finding("leftovers", Verdict.WARNING, text, advice)
        except (CannotRun, sqlite3.Error) as exc:
            if fix:
                text = f"What jobs left behind can't be removed: {exc}."
                yield Finding("leftovers", Verdict.WARNING, text)


def _left(kind: Kind, settings: Settings) -> list[Orphan]:
    found = kind.orphans(settings)
    live = _live(settings) if found else set()  # looked up after they were listed
    return [leftover for leftover in found if leftover.job_id not in live]


def _live(settings: Settings) -> set[str]:
    path = StateDir(settings.state_dir).records
    if not path.exists():
        return set()
    # Read-only: a doctor changes no records, and they may be a newer release's.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT id, state FROM jobs").fetchall()
    return {job_id for job_id, state in rows if state in LIVE}
