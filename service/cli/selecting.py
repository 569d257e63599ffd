"""Options that select jobs: those of lists, and of what is done to many jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import click

from service.cli.completing import one_or_several
from service.client.selection import Selectors
from service.jobs.states import JOB_STATES, Reason

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--state",
        metavar="STATES",
        shell_complete=one_or_several(*JOB_STATES, "all"),
        help="Jobs in these states: pending, running, exited, killed, separated by commas; or all.",
    ),
    click.option(
        "-l",
        "--label",
        multiple=True,
        metavar="K=V",
        help="Jobs with this label; repeated: with all of them.",
    ),
    click.option("--name", metavar="NAME", help="Jobs of this name; 'nightly*': that begin so."),
    click.option(
        "--since",
        metavar="TIME",
        help="Jobs submitted since then: 90s, 10m, 2h, 7d ago, or 2026-01-31T12:00:00Z.",
    ),
    click.option("--until", metavar="TIME", help="Jobs submitted before that."),
    click.option(
        "--exit",
        "exit_code",
        metavar="CODE",
        help="Finished jobs with this exit code; 'nonzero': all that failed.",
    ),
    click.option(
        "--reason",
        metavar="REASONS",
        shell_complete=one_or_several(*Reason),
        help="Jobs that were killed for these reasons, separated by commas: requested, timeout,"
        " idle-timeout, queue-timeout, shutdown, lost, output.",
    ),
)
_NAMES = ("state", "label", "name", "since", "until", "exit_code", "reason")


def selector_options(command: F) -> F:
    """The options; `selectors_in` makes selectors of what came of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def selectors_in(given: Mapping[str, Any]) -> Selectors:
    """What was given of them, which may be nothing.

    >>> selectors_in({"state": None, "label": ("a=1",), "name": "x", "since": None, "force": True})
    {'label': ('a=1',), 'name': 'x'}
    """
    return cast("Selectors", {name: given[name] for name in _NAMES if given.get(name)})
