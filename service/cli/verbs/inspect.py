"""`jobrunner inspect`: all that is known of jobs."""

from __future__ import annotations

import click

from service.cli.jobs import JOB, job_of
from service.cli.shapes import JSON, TABLE, print_array, print_words, shape_of, shape_options
from service.cli.summary import print_summary
from service.cli.target import client, connection_options

_HELP = """Show all that is known of jobs.

That is an array of them as the service has them, one object for each; with -o table a summary for
people. Environments are shown by name only.

\b
Examples:
  jobrunner inspect @last
  jobrunner inspect nightly -o table
  jobrunner inspect nightly --processes -o table
  jobrunner inspect @last | jq -r '.[0].WorkingDir'

Exit status: 0; 125 when there is no such job, or when this command failed; 2 for wrong usage.
"""


@click.command("inspect", help=_HELP, short_help="show all that is known of jobs")
@click.argument("jobs", nargs=-1, type=JOB, required=True, metavar="JOB...")
@click.option("--processes", is_flag=True, help="With the processes that they have now.")
@shape_options(JSON)
@connection_options
def command(*, jobs: tuple[str, ...], processes: bool, output: str | None, quiet: bool) -> None:
    shape = shape_of(output, quiet=quiet, default=JSON)
    service = client()
    found = [job_of(service, word) for word in jobs]
    views = [job.show(processes=processes) for job in found]
    if shape == JSON:
        print_array(views, indent=2)
    elif shape == TABLE:
        for number, view in enumerate(views):
            if number:
                print()
            print_summary(view)
    else:
        print_words(found, shape)
