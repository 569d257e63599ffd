"""`jobrunner logs`: output that there is, and that comes; of one job or of many."""

from __future__ import annotations

import shlex
from typing import Any, cast

import click

from service.cli.completing import one_or_several
from service.cli.jobs import JOB, job_of
from service.cli.line_range import RANGE
from service.cli.many_logs import show_logs
from service.cli.one_log import Part, show_lines, show_log, show_matches
from service.cli.target import client, connection_options
from service.client.searching import Search
from service.client.selection import Selectors
from service.jobs.states import JOB_STATES

_HELP = """Show output: what there is now, and with -f what comes until the job ends.

Standard output and standard error come out apart. Ctrl-C with -f only detaches, and says how to go
on; the job goes on anyway.

With -l, --name, --state or --all instead of a JOB it is the output of all such jobs, each line
behind the name of its job; with -f those that are live, and those that are submitted later.

\b
Examples:
  jobrunner logs @last
  jobrunner logs -f --tail 20 nightly
  jobrunner logs --since 10m -t nightly
  jobrunner logs --grep 'error|warning' -i -C 2 nightly
  jobrunner logs --lines 1040:1060 nightly
  jobrunner logs --stream stderr --command 1 3f2a
  jobrunner logs -f -l build=1742
  jobrunner logs --all --state exited

Exit status: 0 whatever the job's is; 130 after Ctrl-C; 125 when there is no such job, or when this
command failed; 2 for wrong usage.
"""


@click.command("logs", help=_HELP, short_help="show output, of one job or of many")
@click.argument("job", type=JOB, required=False, metavar="[JOB]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="The last N lines.")
@click.option("--lines", type=RANGE, metavar="A:B", help="Lines A to B, from 1; -20: the last 20.")
@click.option("--since", metavar="TIME", help="What came in the last 90s, 10m, 2h, or since then.")
@click.option("--until", metavar="TIME", help="What came before that.")
@click.option("--command", type=click.IntRange(min=0), metavar="N", help="Of command N, from 0.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Of one stream.")
@click.option("--offset", type=click.IntRange(min=0), metavar="N", help="Skip so many bytes.")
@click.option("-t", "--timestamps", is_flag=True, help="Each line behind the time it came.")
@click.option("--grep", metavar="RE", help="The lines that match (RE2), of what there is now.")
@click.option("-v", "--invert", is_flag=True, help="With --grep: those that don't.")
@click.option("-i", "--ignore-case", is_flag=True, help="With --grep: upper case is lower case.")
@click.option(
    "-C",
    "--around",
    type=click.IntRange(min=0),
    metavar="N",
    help="With --grep: and N lines around each.",
)
@click.option(
    "-m", "--max", type=click.IntRange(min=0), metavar="N", help="With --grep: at most N lines."
)
@click.option("-l", "--label", multiple=True, metavar="K=V", help="Of jobs with this label.")
@click.option("--name", metavar="NAME", help="Of jobs of this name; 'nightly*': that begin so.")
@click.option(
    "--state",
    metavar="STATES",
    shell_complete=one_or_several(*JOB_STATES, "all"),
    help="Of jobs in these states; with commas, or all.",
)
@click.option("--all", "every", is_flag=True, help="Of all jobs.")
@click.option("--after", metavar="CURSOR", help="Go on where `logs -f` of many jobs was left.")
@connection_options
def command(*, job: str | None, follow: bool, timestamps: bool, **given: Any) -> int:
    of_one = {name: given[name] for name in _OF_ONE if _is_given(given[name])}
    of_many = {name: given[name] for name in (*_JOBS, "after", "every") if _is_given(given[name])}
    is_one = job is not None
    if is_one == bool(of_many.keys() - {"after"}):
        got = "both" if is_one else "neither"
        raise click.UsageError(f"Expected a JOB, or options that select jobs, got {got}.")
    if wrong := of_many if is_one else of_one:
        meant = "many jobs" if is_one else "one JOB"
        raise click.UsageError(f"--{_OPTIONS.get(min(wrong), min(wrong))} is for {meant}.")
    if job is None:
        return _many(of_many, follow=follow, timestamps=timestamps)
    part = Part(**{name: of_one[name] for name in _PART if name in of_one})
    how = {key: of_one[name] for name, key in _SEARCH.items() if name in of_one}
    _check(of_one, follow=follow)
    found = job_of(client(), job)
    if "lines" in of_one:
        first, last = of_one["lines"]
        show_lines(found, first, last, part.stream, timestamps=timestamps)
        return 0
    if "grep" in of_one:
        show_matches(found, part, of_one["grep"], cast("Search", how), timestamps=timestamps)
        return 0
    return show_log(found, part, follow=follow, timestamps=timestamps)


_PART = ("offset", "stream", "command", "tail", "since", "until")
_SEARCH = {"invert": "invert", "ignore_case": "ignore_case", "around": "context", "max": "max"}
"""Options, and what the client calls them."""

_OF_ONE = (*_PART, *_SEARCH, "grep", "lines")
_OPTIONS = {"ignore_case": "ignore-case", "every": "all"}
_JOBS = ("label", "name", "state")


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _check(of_one: dict[str, Any], *, follow: bool) -> None:
    """Raises: UsageError, for options that contradict each other."""
    if "offset" in of_one and "tail" in of_one:
        raise click.UsageError("Expected one of --offset and --tail: both say where to begin.")
    if "lines" in of_one and (others := of_one.keys() - {"lines", "stream"}):
        raise click.UsageError(f"Expected one of --lines and --{min(others)}.")
    if "lines" in of_one and follow:
        raise click.UsageError("--lines shows what there is now. To go on: jobrunner logs -f JOB")
    if (how := of_one.keys() & _SEARCH) and "grep" not in of_one:
        raise click.UsageError(f"--{_OPTIONS.get(min(how), min(how))} goes with --grep.")
    if follow and "grep" in of_one:
        raise click.UsageError(
            "--grep searches what there is now. To search what comes: jobrunner logs -f JOB | grep"
        )


def _many(given: dict[str, Any], *, follow: bool, timestamps: bool) -> int:
    selectors: dict[str, Any] = {name: given[name] for name in _JOBS if name in given}
    if not follow and "after" not in given:  # a cursor is of the selectors that it had
        selectors.setdefault("state", "all")
    words = [word for label in selectors.get("label", ()) for word in ("-l", label)]
    for name in ("name", "state"):
        words += [f"--{name}", given[name]] if name in given else []
    flags = (["-t"] if timestamps else []) + (["--all"] if "every" in given else [])
    return show_logs(
        client(),
        cast("Selectors", selectors),
        after=given.get("after"),
        follow=follow,
        timestamps=timestamps,
        again=["jobrunner", "logs", "-f", *flags, *map(shlex.quote, words)],
    )
