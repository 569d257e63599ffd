"""`jobrunner wait`: for the end of jobs, one of them or all."""

from __future__ import annotations

from collections.abc import Sequence

import click

from service.cli import exit_status
from service.cli.durations import DURATION, shown
from service.cli.jobs import JOB, job_of
from service.cli.notes import note
from service.cli.target import client, connection_options
from service.cli.waiting import Waiting
from service.client.sync_client import Job
from service.jobs.states import FINISHED
from service.jobs.views import JobView

_HELP = """Wait until jobs have ended, and exit as the worst of them.

Nothing is printed on standard output. Jobs are named by ID, beginning of an ID, name, or @last.

\b
Examples:
  jobrunner wait @last && echo passed
  jobrunner wait --timeout 10m nightly weekly
  jobrunner wait --any 3f2a 9b01

Exit status: of one job as that of `jobrunner run`; of several the highest number, so 0 only if all
have exited with 0. With --any that of the first one that ends. 124 when --timeout is over; 125 when
this command failed, or a job couldn't be started; 2 for wrong usage.
"""

# A thread and a connection for each.
_MOST_OF_ANY = 200


@click.command("wait", help=_HELP, short_help="wait for the end of jobs")
@click.argument("jobs", nargs=-1, type=JOB, required=True, metavar="JOB...")
@click.option("--all", "is_all", is_flag=True, help="For all of them; so it is by default.")
@click.option("--any", "is_any", is_flag=True, help="For the first one that ends.")
@click.option("--timeout", type=DURATION, metavar="TIME", help="At most 90s, 10m, 2h.")
@connection_options
def command(*, jobs: tuple[str, ...], is_all: bool, is_any: bool, timeout: float | None) -> int:
    if is_all and is_any:
        raise click.UsageError("Expected one of --all and --any, got both.")
    if is_any and len(jobs) > _MOST_OF_ANY:
        raise click.UsageError(f"Expected at most {_MOST_OF_ANY} jobs with --any.")
    service = client()
    found = list({job.id: job for job in (job_of(service, word) for word in jobs)}.values())
    if is_any and (over := _ended(found)) is not None:
        return _status(over)
    count = 1 if is_any else len(found)
    waiting = Waiting([[job] for job in found] if is_any else [found])
    views = waiting.first(count, timeout)
    if len(views) < count:
        raise TimeoutError(_not_ended(found, len(views), timeout or 0, is_any=is_any))
    return exit_status.worst(map(_status, views))


def _status(view: JobView) -> int:
    if (remark := exit_status.remark(view)) is not None:
        note(remark)
    return exit_status.of_job(view)


def _ended(jobs: Sequence[Job]) -> JobView | None:
    """The one that ended first, if any has ended before."""
    over = [view for view in (job.show() for job in jobs) if view.state in FINISHED]
    return min(over, key=lambda view: view.finished_at or "", default=None)


def _not_ended(jobs: Sequence[Job], over: int, timeout: float, *, is_any: bool) -> str:
    after = f"after {shown(timeout)}"
    if is_any and len(jobs) > 1:
        return f"None of the {len(jobs)} jobs has ended {after}."
    # They are waited for in this order.
    return f"The job {jobs[over].id} hasn't ended {after}."
