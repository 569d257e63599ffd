"""`jobrunner kill`: ends jobs, and shows the receipts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from service.cli.durations import DURATION
from service.cli.exit_status import FAILED, receipt
from service.cli.jobs import LIVE_JOB
from service.cli.notes import note
from service.cli.selecting import selector_options, selectors_in
from service.cli.several import Several, check_named_or_selected
from service.cli.signal_names import SIGNAL
from service.cli.target import client, connection_options
from service.client.sync_client import Job

_HELP = """Kill jobs with all their processes, and show a receipt for each.

TERM is sent first, or another signal, and KILL to what is left when the grace is over. A job that
had ended stays as it is. The receipt says what was sent, and whether all processes were seen gone.

\b
Examples:
  jobrunner kill @last
  jobrunner kill --signal INT --grace 1m nightly
  jobrunner kill --grace 0 3f2a 9b01        # KILL at once
  jobrunner kill -l build=1742
  jobrunner kill --all --no-wait

Exit status: 0 when all have ended, or with --no-wait when all are told to; 125 when there is no
such job, when processes weren't seen gone, or when this command failed; 2 for wrong usage.
"""


@click.command("kill", help=_HELP, short_help="kill jobs, and show the receipts")
@click.argument("jobs", nargs=-1, type=LIVE_JOB, metavar="[JOB...]")
@click.option(
    "-s",
    "--signal",
    type=SIGNAL,
    metavar="SIG",
    help="The first signal: its name or number (default: TERM).",
)
@click.option(
    "--grace", type=DURATION, metavar="TIME", help="Until KILL (default: the job's own); 0: now."
)
@click.option("--no-wait", is_flag=True, help="Don't wait for their end.")
@click.option("--all", "every", is_flag=True, help="All jobs that are pending or running.")
@selector_options
@connection_options
def command(
    *,
    jobs: tuple[str, ...],
    signal: str | None,
    grace: float | None,
    no_wait: bool,
    every: bool,
    **given: Any,
) -> int:
    selectors = selectors_in(given)
    check_named_or_selected(jobs, selectors, every=every)
    service, several = client(), Several()
    if not jobs:
        selectors.setdefault("state", ["pending", "running"])
    found = several.named(service, jobs) if jobs else service.jobs(**selectors)
    asked = list(_asked(found, several, signal, grace, no_wait=no_wait))
    if not asked and not jobs:
        note("No job is selected.")
    if not no_wait:
        for job in asked:
            with several.one():
                view = job.wait()
                print(receipt(view))
                if view.kill is not None and view.kill.verified_gone is False:
                    several.status = FAILED
    return several.status


def _asked(
    jobs: Iterator[Job], several: Several, signal: str | None, grace: float | None, *, no_wait: bool
) -> Iterator[Job]:
    """Each once it was told to end: they end at the same time."""
    for job in jobs:
        with several.one():
            state = job.request_kill(signal=signal, grace=grace)
            if no_wait:
                print(f"The job {job.id} was {state} when the kill was requested.")
            yield job
