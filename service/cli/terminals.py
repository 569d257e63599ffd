"""What `run -it` and `attach` have in common: options, and a session with its exit status."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import click

from service.cli import exit_status, local_terminal
from service.cli.detaching import DEFAULT, parsed
from service.cli.notes import note
from service.cli.output import BROKEN_OFF
from service.cli.terminal_session import Detached, TerminalSession
from service.client.sync_client import Job
from service.jobs.terminal import MAX_COLS, MAX_ROWS

# As the service takes it; another one isn't told of, and the service's own holds.
_TERM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,63}")


class _Keys(click.ParamType[bytes]):
    name = "keys"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            return parsed(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


detach_keys_option = click.option(
    "--detach-keys",
    type=_Keys(),
    default=DEFAULT,
    show_default=True,
    envvar="JOBRUNNER_DETACH_KEYS",
    metavar="KEYS",
    help="What leaves a terminal, while the job goes on; '': nothing does.",
)


def terminal_of_here() -> dict[str, Any]:
    """The terminal that a job is to have: as large as this one, and of its type."""
    terminal: dict[str, Any] = {}
    if (size := local_terminal.size()) is not None:
        terminal |= {"Rows": min(size[0], MAX_ROWS), "Cols": min(size[1], MAX_COLS)}
    term = os.environ.get("TERM", "")  # noqa: TID251 - of the caller's terminal
    if _TERM.fullmatch(term):
        terminal["Term"] = term
    return terminal


def attach_terminal(job: Job, offset: int, keys: bytes) -> int:
    """Until the job ends, its exit status; 0 when it was left."""
    session = TerminalSession(job, offset, keys)
    try:
        view = session.to_end()
    except Detached:
        note(f"Detached; the job goes on: {session.to_go_on}")
        return 0
    except BROKEN_OFF:
        note(f"To go on: {session.to_go_on}")
        raise
    if (remark := exit_status.remark(view)) is not None:
        note(remark)
    return exit_status.of_job(view)
