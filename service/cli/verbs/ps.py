"""`jobrunner ps`: which jobs there are, and how they stand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from service.cli import in_words
from service.cli.selecting import selector_options, selectors_in
from service.cli.shapes import JSON, TABLE, print_array, print_words, shape_of, shape_options
from service.cli.table import Cell, Column, print_table
from service.cli.target import client, connection_options
from service.jobs.views import JobView

_HELP = """List jobs: those that are pending or running, or those that options select.

All options that are given must be met. The first are the newest, unless --order says otherwise.

\b
Examples:
  jobrunner ps
  jobrunner ps --all --limit 20
  jobrunner ps --exit nonzero --since 2h --name 'nightly*'
  jobrunner ps --state running --order memory
  jobrunner ps -a -l build=1742 -o json | jq '.[].ExitCode'
  jobrunner clean $(jobrunner ps -q --state exited --until 7d)

Exit status: 0, also when there are none; 125 when this command failed; 2 for wrong usage.
"""

# Of 80 columns the others leave 28 to these two, at their widest.
_LEAST_OF_NAME, _LEAST_OF_COMMAND = 10, 18
_COLUMNS = (
    Column("ID"),
    Column("NAME", _LEAST_OF_NAME),
    Column("STATE"),
    Column("AGE"),
    Column("DURATION"),
    Column("COMMAND", _LEAST_OF_COMMAND),
)


@click.command("ps", help=_HELP, short_help="list jobs")
@click.option("-a", "--all", "is_all", is_flag=True, help="Jobs in all states.")
@selector_options
@click.option(
    "--order",
    type=click.Choice(["newest", "oldest", "cpu", "memory", "output"]),
    default="newest",
    help="By submission, or those that used the most first.",
)
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", help="At most so many.")
@click.option("-w", "--wide", is_flag=True, help="A table with nothing cut off.")
@shape_options(TABLE)
@connection_options
def command(
    *,
    is_all: bool,
    order: str,
    limit: int | None,
    wide: bool,
    output: str | None,
    quiet: bool,
    **given: Any,
) -> None:
    selectors = selectors_in(given)
    if is_all:
        if "state" in selectors:
            raise click.UsageError("Expected one of --all and --state.")
        selectors["state"] = "all"
    shape = shape_of(output, quiet=quiet, default=TABLE)
    jobs = client().jobs(order=order, limit=limit, **selectors)
    if shape == TABLE:
        now = in_words.current_time()
        print_table(_COLUMNS, (_row(job.view, now) for job in jobs if job.view), wide=wide)
    elif shape == JSON:
        print_array(job.view for job in jobs if job.view)
    else:
        print_words(jobs, shape)


def _row(view: JobView, now: datetime) -> list[Cell]:
    return [
        in_words.short_id(view.id),
        Cell(view.name) if view.name is not None else in_words.NOTHING,
        in_words.state_of(view),
        in_words.age_of(view, now),
        in_words.duration_of(view, now),
        in_words.command_of(view),
    ]
