"""A job for people: each member of its view as a word or a number in a table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from service.cli.durations import shown
from service.cli.table import Cell
from service.jobs.states import Reason
from service.jobs.views import JobView

NOTHING: Final = Cell("-")

# The beginning of an ID: enough to name it among a hundred thousand.
SHORT_ID_CHARS: Final = 8

# Of a command line, which may be a script: more than any terminal shows in a line.
_MOST_CHARS: Final = 500

_COLOURS: Final = {"pending": "yellow", "running": "cyan", "skipped": "bright_black"}


def short_id(job_id: str) -> Cell:
    """Such that `jobrunner` takes it for the whole one."""
    return Cell(job_id[:SHORT_ID_CHARS])


def state_of(view: JobView) -> Cell:
    """With what ended it: `exited 3`, `exited SIGSEGV`, `killed timeout`."""
    error = view.error is not None
    reason = None if view.reason == Reason.REQUESTED else view.reason
    return _state(view.state, view.exit_code, view.signal, error=error, reason=reason)


def state_of_command(command: Mapping[str, Any]) -> Cell:
    """The same of one command."""
    error = command.get("Error") is not None
    return _state(command["State"], command.get("ExitCode"), command.get("Signal"), error=error)


def _state(
    state: str, code: int | None, signal: str | None, *, error: bool, reason: str | None = None
) -> Cell:
    if state == "killed":
        return Cell(f"killed {reason}" if reason else "killed", "red")
    if state != "exited":
        return Cell(state, _COLOURS.get(state))
    how = "not started" if error else f"exited {signal if code is None else code}"
    return Cell(how, "green" if code == 0 and not error else "red")


def age_of(view: JobView, now: datetime) -> Cell:
    """Since it was submitted."""
    return Cell(ago(view.created_at, now))


def duration_of(view: JobView, now: datetime) -> Cell:
    """How long it ran, or has run so far."""
    return duration(view.duration, view.started_at if view.state == "running" else None, now)


def duration(seconds: float | None, began: str | None, now: datetime) -> Cell:
    """One that is over, or one that began and isn't."""
    if seconds is not None:
        return Cell(shown(seconds))
    return Cell(ago(began, now)) if began is not None else NOTHING


def command_of(view: JobView) -> Cell:
    """The first of its commands, and how many there are beside it."""
    first = line_of(view.commands[0]) if view.commands else ""
    more = len(view.commands) - 1
    return Cell(f"{first} (+{more})" if more > 0 else first)


def line_of(command: Mapping[str, Any]) -> str:
    """A command as one line, or the beginning of it."""
    line: str = command.get("CommandLine") or shlex.join(command.get("Arguments") or ())
    image = command.get("Image") or command.get("Repository")
    whole = f"[{image}] {line}" if image else line
    return " ".join(whole[:_MOST_CHARS].split())


def ago(time: str, now: datetime) -> str:
    """How long ago. Clocks differ: what is yet to come is now."""
    return shown(max(0.0, (now - datetime.fromisoformat(time)).total_seconds()))


def current_time() -> datetime:
    """By the clock of this machine."""
    return datetime.now(UTC)
