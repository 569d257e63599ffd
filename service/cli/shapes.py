"""What is listed, as a table for people, as JSON for programs, or as names for scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import msgspec

from service.client.sync_client import Job
from service.host.escaping import escaped, escaped_lines
from service.jobs.views import JobView

F = TypeVar("F", bound=Callable[..., Any])

TABLE, JSON, NAME, ID = "table", "json", "name", "id"


def shape_options(default: str) -> Callable[[F], F]:
    """`-o` and `-q`; `shape_of` makes one of what came of them."""

    def decorated(command: F) -> F:
        for option in (
            click.option("-q", "--quiet", is_flag=True, help="IDs only."),
            click.option(
                "-o",
                "--output",
                type=click.Choice([TABLE, JSON, NAME]),
                help=f"How it is shown (default: {default}); name: a job's name, else its ID.",
            ),
        ):
            command = option(command)
        return command

    return decorated


def shape_of(output: str | None, *, quiet: bool, default: str) -> str:
    """Raises: UsageError."""
    if quiet and output is not None:
        raise click.UsageError("Expected one of --quiet and --output.")
    return ID if quiet else output or default


def word_of(job_id: str, view: JobView | None, shape: str) -> str:
    """What `-q` and `-o name` show of a job."""
    if shape == ID or view is None or view.name is None:
        return job_id
    return escaped(view.name)


def print_words(jobs: Iterable[Job], shape: str) -> None:
    """A line for each, as soon as it is known."""
    for job in jobs:
        print(word_of(job.id, job.view, shape))


def print_array(views: Iterable[JobView], *, indent: int = 0) -> None:
    """One array of views as the service has them, each written as soon as it is known."""
    before = "["
    for view in views:
        text = msgspec.json.encode(view)
        if indent:
            text = msgspec.json.format(text, indent=indent)
        # JSON allows characters that drive a terminal; their escapes mean the same.
        sys.stdout.write(f"{before}{escaped_lines(text.decode())}")
        before = ",\n"
    print("[]" if before == "[" else "]")
