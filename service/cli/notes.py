"""What is said beside the output: on standard error, each line with `jobrunner: ` before it.

Nothing is said unless something happened. Text of jobs and of services is escaped: it could drive
the terminal.
"""

from __future__ import annotations

import os
import sys
import termios
from typing import IO, Any

from service.host.escaping import escaped


def note(text: str) -> None:
    """A line."""
    _say(f"jobrunner: {escaped(text)}")


def dim_note(text: str) -> None:
    """The same, of less weight."""
    line = f"jobrunner: {escaped(text)}"
    if has_colours(sys.stderr):
        line = f"\x1b[2m{line}\x1b[0m"
    _say(line)


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True, end=_line_end())
    except OSError:  # full, or nobody reads: no reason to do less than what was asked for
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stderr.fileno())  # also for what is still to be flushed at the exit
        os.close(null)


def _line_end() -> str:
    """A terminal that is raw, as it shows that of a job, doesn't go to the left by itself."""
    try:
        return "\n" if termios.tcgetattr(2)[1] & termios.OPOST else "\r\n"
    except termios.error:
        return "\n"


def has_colours(file: IO[Any]) -> bool:
    """Whether escape sequences may go there. Source: no-color.org."""
    variables = os.environ  # noqa: TID251 - of the caller's shell
    return file.isatty() and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"
