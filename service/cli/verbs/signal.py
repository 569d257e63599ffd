"""`jobrunner signal`: sends a signal to what a job runs."""

from __future__ import annotations

import click

from service.cli.jobs import LIVE_JOB
from service.cli.several import Several
from service.cli.signal_names import SIGNAL
from service.cli.target import client, connection_options

_HELP = """Send a signal once to all processes of running jobs.

It is no kill: nothing follows, and a job that dies of it has exited. To end a job: jobrunner kill.

\b
Examples:
  jobrunner signal -s HUP server            # reload
  jobrunner signal -s STOP 3f2a 9b01        # and later: -s CONT
  jobrunner signal -s RTMIN+3 @last

Exit status: 0 when all jobs got it; 125 when one isn't running, or this command failed; 2 for wrong
usage.
"""


@click.command("signal", help=_HELP, short_help="send a signal to jobs, which isn't a kill")
@click.argument("jobs", nargs=-1, type=LIVE_JOB, required=True, metavar="JOB...")
@click.option(
    "-s",
    "--signal",
    "name",
    type=SIGNAL,
    default="TERM",
    metavar="SIG",
    help="Its name or number (default: TERM).",
)
@connection_options
def command(*, jobs: tuple[str, ...], name: str) -> int:
    service, several = client(), Several()
    for job in several.named(service, jobs):
        with several.one():
            count = job.signal(name)
            processes = "1 process" if count == 1 else f"{count} processes"
            print(f"The job {job.id}: {name} sent to {processes}.")
    return several.status
