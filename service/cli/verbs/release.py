"""`jobrunner release`: lets held jobs run."""

from __future__ import annotations

import click

from service.cli.jobs import LIVE_JOB
from service.cli.several import Several
from service.cli.target import client, connection_options

_HELP = """Let jobs run that were submitted with Hold, as soon as there is a run slot for them.

\b
Examples:
  jobrunner run -d --hold -n train -- ./train.sh
  jobrunner cp data.csv train:
  jobrunner release train

Exit status: 0 when all of them were released, or had been before; 125 when one wasn't held, or this
command failed; 2 for wrong usage.
"""


@click.command("release", help=_HELP, short_help="let held jobs run")
@click.argument("jobs", nargs=-1, type=LIVE_JOB, required=True, metavar="JOB...")
@connection_options
def command(*, jobs: tuple[str, ...]) -> int:
    service, several = client(), Several()
    for job in several.named(service, jobs):
        with several.one():
            job.release()
            print(job.id)
    return several.status
