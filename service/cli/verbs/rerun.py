"""`jobrunner rerun`: a job once more, as it was or with changes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import click

from service.cli.assignments import add, environment_of, labels_of
from service.cli.given_json import object_in
from service.cli.interrupts import Interrupts
from service.cli.jobs import JOB, job_of
from service.cli.keys import KEY
from service.cli.notes import note
from service.cli.target import client, connection_options
from service.cli.watching import watch

_HELP = """Run a job again as a new one, and exit as it does.

The service still has all that it was submitted with, the values of its environment too. Changes are
a merge patch (RFC 7396): what stands in it replaces what the job had, and null takes it away. Then
it is as with `jobrunner run`: Ctrl-C sends INT to the job; typed twice it kills the job.

\b
Examples:
  jobrunner rerun @last
  jobrunner rerun nightly -d
  jobrunner rerun 3f2a -e DEBUG=1 -n debugging
  jobrunner rerun 3f2a --patch '{"Timeout": 7200, "Labels": {"try": "2"}}'

Exit status: as that of `jobrunner run`; 0 with -d once it is submitted.
"""


@click.command("rerun", help=_HELP, short_help="run a job again, perhaps with changes")
@click.argument("job", type=JOB, metavar="JOB")
@click.option("--patch", metavar="JSON", help="What is to be different, as an object.")
@click.option("-n", "--name", metavar="NAME", help="Its name.")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="A label of it.")
@click.option(
    "-e",
    "--env",
    "environment",
    multiple=True,
    metavar="K[=V]",
    help="A variable of its environment; without a value: with the value that it has here.",
)
@click.option("-d", "--detach", is_flag=True, help="Print the ID, and leave the job to itself.")
@click.option(
    "--key", type=KEY, metavar="KEY", help="The job that was made with this key, if one was."
)
@connection_options
def command(*, job: str, detach: bool, key: str | None, **changes: Any) -> int:
    patch = _patch(**changes)
    found = job_of(client(), job)
    sent = key or str(uuid4())
    try:
        again = found.rerun(patch, key=sent)
    except KeyboardInterrupt:
        note(f"The job may have been submitted; `jobrunner rerun --key {sent} …` finds it.")
        raise
    if detach:
        print(again.id)
        return 0
    with Interrupts() as interrupts:
        return watch(again, interrupts)


def _patch(
    *, patch: str | None, name: str | None, labels: tuple[str, ...], environment: tuple[str, ...]
) -> dict[str, Any]:
    """Raises: UsageError."""
    found = {} if patch is None else object_in(patch, "--patch")
    if name is not None:
        found["Name"] = name
    add(found, "Labels", labels_of(labels))
    add(found, "Environment", environment_of(environment))
    return found
