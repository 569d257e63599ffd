"""A job on a page, for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from service.cli import in_words
from service.cli.durations import shown
from service.cli.exit_status import signals_of
from service.cli.sizes import shown_bytes
from service.cli.table import Cell, Column, print_pairs, print_table
from service.jobs.views import JobView, KillView, ProcessView

_LEAST = 20
_COMMANDS = (
    Column("#"),
    Column("KIND"),
    Column("STATE"),
    Column("DURATION"),
    Column("COMMAND", _LEAST),
)
_PROCESSES = (
    Column("PID"),
    Column("PARENT"),
    Column("STATE"),
    Column("CPU"),
    Column("MEMORY"),
    Column("COMMAND", _LEAST),
)


def print_summary(view: JobView) -> None:
    """What there is to say, then its commands, then its processes if they were asked for."""
    now = in_words.current_time()
    print_pairs(_members(view, now))
    print()
    print_table(
        _COMMANDS,
        (
            [
                Cell(f"{number}"),
                Cell(command.get("Kind", "")),
                in_words.state_of_command(command),
                in_words.duration(
                    command.get("Duration"),
                    command.get("StartedAt") if command["State"] == "running" else None,
                    now,
                ),
                Cell(in_words.line_of(command)),
            ]
            for number, command in enumerate(view.commands)
        ),
    )
    if view.processes is not msgspec.UNSET:
        print()
        if view.processes is None:
            print("Nobody can tell which processes it has.")
        else:
            print_table(_PROCESSES, map(_process, view.processes))


def _process(process: ProcessView) -> list[Cell]:
    return [
        Cell(f"{process.pid}"),
        Cell(f"{process.parent}"),
        Cell(process.state),
        Cell(shown(process.cpu_seconds)),
        Cell(shown_bytes(process.memory)),
        Cell(process.command),
    ]


def _members(view: JobView, now: datetime) -> Iterator[tuple[str, Cell]]:
    yield "ID", Cell(view.id)
    if view.name is not None:
        yield "Name", Cell(view.name)
    if view.labels:
        yield "Labels", Cell(", ".join(f"{name}={value}" for name, value in view.labels.items()))
    yield "State", in_words.state_of(view)
    if view.error is not None:
        yield "Error", Cell(view.error, "red")
    yield from _times(view, now)
    yield "Directory", Cell(view.working_dir)
    yield "Output", Cell(_output(view))
    if used := ", ".join(_usage(view)):
        yield "Usage", Cell(used)
    if view.kill is not None:
        yield "Kill", Cell(_kill(view.kill))
    for process in view.left:
        was = "kept" if process.kept else "ended"
        yield "Left", Cell(f"{process.pid} {process.command} ({was})")


def _times(view: JobView, now: datetime) -> Iterator[tuple[str, Cell]]:
    for title, time in (
        ("Created", view.created_at),
        ("Started", view.started_at),
        ("Finished", view.finished_at),
    ):
        if time is not None:
            yield title, Cell(f"{time} ({in_words.ago(time, now)} ago)")
    if view.started_at is not None:
        yield "Duration", in_words.duration_of(view, now)
    bounds = {
        "timeout": view.timeout,
        "idle timeout": view.idle_timeout,
        "queue timeout": view.queue_timeout,
    }
    if given := [f"{name} {shown(s)}" for name, s in bounds.items() if s is not None]:
        yield "Bounds", Cell(", ".join(given))


def _output(view: JobView) -> str:
    dropped = sum(end - begin for begin, end in view.output.gaps)
    parts = [shown_bytes(view.output.bytes)]
    if dropped:
        parts.append(f"{shown_bytes(dropped)} of it dropped (OutputLimit)")
    if not view.output.complete:
        parts.append("some may be missing")
    return ", ".join(parts)


def _usage(view: JobView) -> Iterator[str]:
    usage = view.usage
    if usage.cpu_seconds is not None:
        yield f"{shown(usage.cpu_seconds)} of CPU"
    if usage.memory is not None:
        yield f"{shown_bytes(usage.memory)} of memory"
    if usage.peak_memory is not None:
        yield f"{shown_bytes(usage.peak_memory)} at most"
    if usage.processes is not None:
        yield f"{usage.processes} processes"


def _kill(kill: KillView) -> str:
    return f"{kill.requested_at}: {signals_of(kill)}"
