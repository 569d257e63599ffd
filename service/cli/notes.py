"""What is said beside the output: on standard error, each line with `jobrunner: ` before it.

Nothing is said unless something happened. Text of jobs and of services is escaped: it could drive
the terminal.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import click

from service.host.escaping import escaped


def note(text: str) -> None:
    """A line."""
    print(f"jobrunner: {escaped(text)}", file=sys.stderr, flush=True)


def dim_note(text: str) -> None:
    """The same, of less weight."""
    line = f"jobrunner: {escaped(text)}"
    if has_colours(sys.stderr):
        line = click.style(line, dim=True)
    print(line, file=sys.stderr, flush=True)


def has_colours(file: IO[Any]) -> bool:
    """Whether escape sequences may go there. Source: no-color.org."""
    variables = os.environ  # noqa: TID251 - of the caller's shell
    return file.isatty() and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"
