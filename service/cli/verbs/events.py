"""`jobrunner events`: how jobs change."""

from __future__ import annotations

import signal
from typing import Any

import click
import msgspec

from service.cli import in_words
from service.cli.exit_status import of_signal
from service.cli.interrupts import Interrupts
from service.cli.notes import note
from service.cli.shapes import JSON, TABLE, shape_of, shape_options, word_of
from service.cli.table import Cell, Column, Lines
from service.cli.target import client, connection_options
from service.client.results import Event
from service.host.escaping import escaped_lines

_HELP = """Show the changes of jobs: of each job the latest, in the order of changes.

It ends with what there is, or with -f goes on as changes come. Each has a number; --after with the
last number that you have seen shows what changed since, also after days. With -o json each change
is an object on a line of its own: the job, as the service has it, with the number as Seq; of a job
that was cleaned {"Seq", "ID", "Cleaned": true}.

\b
Examples:
  jobrunner events
  jobrunner events -f -o json | jq --unbuffered 'select(.ExitCode > 0).ID'
  jobrunner events --after 1742

Exit status: 0; 130 after Ctrl-C; 125 when this command failed; 2 for wrong usage.
"""

_COLUMNS = (
    Column("SEQ".ljust(8)),
    Column("ID".ljust(in_words.SHORT_ID_CHARS)),
    Column("NAME", 14),
    Column("STATE", 20),
    Column("COMMAND", 20),
)


@click.command("events", help=_HELP, short_help="show how jobs change")
@click.option("-f", "--follow", is_flag=True, help="Go on with the changes that come.")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Those behind this one."
)
@shape_options(TABLE)
@connection_options
def command(*, follow: bool, after: int, output: str | None, quiet: bool) -> int:
    shape = shape_of(output, quiet=quiet, default=TABLE)
    table = Lines(_COLUMNS) if shape == TABLE else None
    with Interrupts() as interrupts, client().events(after=after, follow=follow) as reading:
        try:
            while True:
                with interrupts.let_in():
                    event = next(reading, None)
                if event is None:
                    return 0
                if table is not None:
                    table.print(_row(event))
                else:
                    line = (
                        _json(event) if shape == JSON else word_of(event.job_id, event.view, shape)
                    )
                    print(line, flush=True)
                after = event.seq
        except KeyboardInterrupt:
            if follow:
                note(f"To go on: jobrunner events -f --after {after}")
            return of_signal(signal.SIGINT)


def _row(event: Event) -> list[Cell]:
    if (view := event.view) is None:
        rest = [in_words.NOTHING, Cell("cleaned", "bright_black"), in_words.NOTHING]
    else:
        name = in_words.NOTHING if view.name is None else Cell(view.name)
        rest = [name, in_words.state_of(view), in_words.command_of(view)]
    return [Cell(f"{event.seq}"), in_words.short_id(event.job_id), *rest]


def _json(event: Event) -> str:
    shown: dict[str, Any] = {"Seq": event.seq}
    if event.view is None:
        shown |= {"ID": event.job_id, "Cleaned": True}
    else:
        shown |= msgspec.to_builtins(event.view)
    return escaped_lines(msgspec.json.encode(shown).decode())
