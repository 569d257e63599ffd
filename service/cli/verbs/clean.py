"""`jobrunner clean`: forgets finished jobs."""

from __future__ import annotations

import sys
from typing import Any

import click

from service.cli.exit_status import FAILED
from service.cli.jobs import FINISHED_JOB
from service.cli.notes import note
from service.cli.selecting import selector_options, selectors_in
from service.cli.several import Several, check_named_or_selected
from service.cli.target import client, connection_options

_HELP = """Forget finished jobs: their records, their output and their working directories.

The ID of each is printed. Jobs that options select are counted first, and you are asked; without a
terminal --yes is needed for that. A job that is pending or running is refused.

\b
Examples:
  jobrunner clean @last
  jobrunner clean --state exited --until 7d
  jobrunner clean --name 'nightly*' --exit 0 --yes
  jobrunner clean --all

Exit status: 0 when all of them are gone; 125 when some aren't (live, unknown, or files that can't
be removed), when you said no, or when this command failed; 2 for wrong usage.
"""


@click.command("clean", help=_HELP, short_help="forget finished jobs and their output")
@click.argument("jobs", nargs=-1, type=FINISHED_JOB, metavar="[JOB...]")
@click.option("--all", "every", is_flag=True, help="All finished jobs.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@selector_options
@connection_options
def command(*, jobs: tuple[str, ...], every: bool, yes: bool, **given: Any) -> int:
    selectors = selectors_in(given)
    check_named_or_selected(jobs, selectors, every=every)
    is_asked = not jobs and not yes
    if is_asked and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("Expected --yes, as there is no terminal to ask at.")
    service, several = client(), Several()
    if jobs:
        found = several.named(service, jobs)
    else:
        # All of them before the first is gone: what is confirmed is what is cleaned.
        selectors.setdefault("state", ["exited", "killed"])
        ids = [job.id for job in service.jobs(**selectors)]
        if not ids:
            note("No job is selected.")
        elif is_asked and not _agreed(len(ids)):
            note("Nothing was cleaned.")
            return FAILED
        found = map(service.job, ids)
    for job in found:
        with several.one():
            job.clean()
            print(job.id)
    return several.status


def _agreed(count: int) -> bool:
    what = "1 job" if count == 1 else f"{count} jobs"
    return click.confirm(f"Clean {what}, with all output and files?", err=True)
