"""`jobrunner send`: writes into the standard input of a job."""

from __future__ import annotations

import os

import click

from service.cli.jobs import LIVE_JOB, job_of
from service.cli.passing import pass_on
from service.cli.target import client, connection_options

_HELP = """Write into the standard input of a job that was submitted with one: jobrunner run -i.

TEXT is a line; '-' passes on the standard input of this command, as it comes. It takes as long as
the job needs to read. When the connection is lost it goes on where the job has come to, so nothing
is written twice.

\b
Examples:
  jobrunner run -d -i --name calc -- bc
  jobrunner send calc '6 * 7'
  jobrunner send --eof calc                 # that was all
  tar c src | jobrunner send --eof @last -

Exit status: 0 when the job's pipe has taken all; 125 when it reads no more, or this command failed;
2 for wrong usage.
"""


@click.command("send", help=_HELP, short_help="write into the standard input of a job")
@click.argument("job", type=LIVE_JOB, metavar="JOB")
@click.argument("text", required=False, metavar="[TEXT|-]")
@click.option("-n", "--no-newline", is_flag=True, help="TEXT alone, without a newline behind it.")
@click.option("--eof", is_flag=True, help="End the job's input after it.")
@connection_options
def command(*, job: str, text: str | None, no_newline: bool, eof: bool) -> int:
    if text is None and not eof:
        raise click.UsageError("Expected a TEXT, '-' or --eof.")
    found = job_of(client(), job)
    if text == "-":
        pass_on(found, eof=eof)
    else:
        line = "" if text is None else text if no_newline else f"{text}\n"
        found.send(os.fsencode(line), eof=eof)
    return 0
