"""`jobrunner attach`: reads a job's output, and goes when it is told to."""

from __future__ import annotations

import signal

import click

from service.cli import exit_status
from service.cli.interrupts import Interrupts
from service.cli.jobs import JOB, job_of
from service.cli.local_terminal import is_interactive
from service.cli.notes import note
from service.cli.output import BROKEN_OFF, Copy
from service.cli.target import client, connection_options
from service.cli.terminals import attach_terminal, detach_keys_option

_HELP = """Read a job's output from its first byte, then live until it ends.

Standard output and standard error come out apart. Ctrl-C only detaches: the job goes on.

A job with a terminal (run -t) has this one, where there is one: what is typed goes to the job,
Ctrl-C too, and Ctrl-P Ctrl-Q detaches. --no-stdin only reads.

\b
Examples:
  jobrunner attach @last
  jobrunner attach --offset 1048576 nightly

Exit status: as that of `jobrunner run`; 130 after Ctrl-C, 0 after the keys
that detach.
"""


@click.command("attach", help=_HELP, short_help="read a job's output until it ends")
@click.argument("job", type=JOB, metavar="JOB")
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, metavar="BYTES", help="Skip so many bytes."
)
@click.option("--no-stdin", is_flag=True, help="Only read, also where the job has a terminal.")
@detach_keys_option
@connection_options
def command(*, job: str, offset: int, no_stdin: bool, detach_keys: bytes) -> int:
    found = job_of(client(), job)
    if not no_stdin and is_interactive() and found.show().tty is not None:
        return attach_terminal(found, offset, detach_keys)
    with Interrupts() as interrupts:
        copy = Copy(found, offset, interrupts, _leave)
        try:
            copy.to_end()
            with interrupts.let_in():
                view = found.wait()
        except KeyboardInterrupt:
            note(f"Detached. To go on: {copy.to_go_on}")
            return exit_status.of_signal(signal.SIGINT)
        except BROKEN_OFF:
            if copy.offset != offset:  # else the same command does it
                note(f"To go on: {copy.to_go_on}")
            raise
    if (remark := exit_status.remark(view)) is not None:
        note(remark)
    return exit_status.of_job(view)


def _leave(_count: int) -> None:
    raise KeyboardInterrupt
