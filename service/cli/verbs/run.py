"""`jobrunner run`: a job that feels like a command of this shell."""

from __future__ import annotations

import shlex
import sys
from typing import IO, Any
from uuid import uuid4

import click

from service.cli.assignments import add, environment_of, labels_of
from service.cli.completing import files
from service.cli.durations import DURATION
from service.cli.given_json import object_in
from service.cli.interrupts import Interrupts
from service.cli.keys import KEY
from service.cli.local_terminal import is_interactive
from service.cli.notes import note
from service.cli.passing import pass_on_meanwhile
from service.cli.slurm_options import slurm_options, taken_slurm
from service.cli.target import client, connection_options
from service.cli.terminals import attach_terminal, detach_keys_option, terminal_of_here
from service.cli.watching import watch
from service.client.sync_client import Client, Job

_HELP = """Run a command as a job, and exit as it does.

Its output comes out here byte for byte, standard output and standard error apart. One argument is a
line for bash; several are the words of one command.

Whatever happens to this command, the job goes on: a lost connection, a restart of the service, a
closed terminal. What comes in with -i reaches the job once, whatever is lost on the way. Ctrl-C
sends INT to the job; typed twice it kills the job.

\b
Examples:
  jobrunner run -- make -j4 test
  jobrunner run 'make && make install'
  jobrunner run -d --name nightly --timeout 2h -- ./nightly.sh
  tar c src | jobrunner run -i -- tar tv
  jobrunner run -it -- bash                  # Ctrl-P Ctrl-Q leaves; attach @last goes on
  jobrunner run --image python:3.12 -- python3 -c 'print(1)'
  jobrunner run --slurm --partition gpu --gpus 1 --time-limit 2h -- ./train
  jobrunner run --key build-1742 -- make     # again: the same job, from its first byte
  jobrunner run --file job.json              # a job as POST / takes it

Exit status: that of the command; 128+N when signal N ended it; 124 when it ran into a timeout;
125 when it, or this command, failed before that; 2 for wrong usage.
"""


@click.command(
    "run",
    help=_HELP,
    short_help="run a command, and exit as it does",
    # Options behind the command's name are the command's.
    context_settings={"allow_interspersed_args": False},
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, shell_complete=files)
@click.option("-d", "--detach", is_flag=True, help="Print the ID, and leave the job to itself.")
@click.option(
    "-i",
    "--interactive",
    is_flag=True,
    help="Give it a standard input: what comes in here, and its end; with -d: what is sent to it.",
)
@click.option(
    "-t",
    "--tty",
    is_flag=True,
    help="Give it a terminal, of the size of this one; -it: type there.",
)
@detach_keys_option
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
@click.option(
    "-w", "--workdir", metavar="DIR", help="Its working directory, on the service's host."
)
@click.option("--timeout", type=DURATION, metavar="TIME", help="Kill it after 90s, 10m, 2h.")
@click.option("--idle-timeout", type=DURATION, metavar="TIME", help="Kill it when it is silent.")
@click.option(
    "--queue-timeout", type=DURATION, metavar="TIME", help="Kill it when it waits so long."
)
@click.option(
    "--grace", type=DURATION, metavar="TIME", help="From TERM to KILL, when it is killed."
)
@click.option("--priority", type=int, metavar="N", help="Its place in the queue; higher is first.")
@click.option("--hold", is_flag=True, default=None, help="Keep it pending until its release.")
@click.option("--image", metavar="IMAGE", help="Run it in a container of this image.")
@slurm_options
@click.option(
    "-f",
    "--file",
    type=click.File("r", encoding="utf-8"),
    help="A job in JSON, as POST / takes it; '-': standard input. The options above win.",
)
@click.option(
    "--key", type=KEY, metavar="KEY", help="The job that was submitted with this key, if one was."
)
@click.option(
    "--offset",
    type=click.IntRange(min=0),
    default=0,
    metavar="BYTES",
    help="Skip so many bytes of output.",
)
@connection_options
def command(
    *,
    detach: bool,
    interactive: bool,
    tty: bool,
    detach_keys: bytes,
    key: str | None,
    offset: int,
    **given: Any,
) -> int:
    file = given["file"]
    if interactive and not detach and file is not None and file.name == sys.stdin.name:
        raise click.UsageError("Standard input can't be both the job (--file -) and its input.")
    service = client()
    submission = _submission(**given)
    if interactive:
        submission["Stdin"] = True
    if tty:
        submission["TTY"] = terminal_of_here()
    with Interrupts() as interrupts:
        with interrupts.let_in():
            job = _submitted(service, submission, key)
        if detach:
            print(job.id)
            return 0
        if tty and interactive and is_interactive():
            return attach_terminal(job, offset, detach_keys)
        if interactive:
            pass_on_meanwhile(job)
        return watch(job, interrupts, offset)


def _submission(
    *,
    command: tuple[str, ...],
    file: IO[str] | None,
    name: str | None,
    labels: tuple[str, ...],
    environment: tuple[str, ...],
    workdir: str | None,
    image: str | None,
    **given: Any,
) -> dict[str, Any]:
    """The job, as the service takes it. Raises: UsageError."""
    slurm = taken_slurm(given)
    if slurm is not None and (image is not None or file is not None):
        other = "--image" if image is not None else "--file"
        raise click.UsageError(f"Expected --slurm or {other}, got both.")
    if bool(command) == (file is not None):
        got = "both" if command else "neither"
        raise click.UsageError(f"Expected a command or --file, got {got}.")
    job = object_in(file.read(), file.name) if file is not None else _command(command, image, slurm)
    if name is not None:
        job["Name"] = name
    if workdir is not None:
        job["WorkingDir"] = workdir
    add(job, "Labels", labels_of(labels))
    add(job, "Environment", environment_of(environment))
    for option, value in given.items():
        if value is not None:
            job[_KEYS[option]] = value
    return job


_KEYS = {
    "timeout": "Timeout",
    "idle_timeout": "IdleTimeout",
    "queue_timeout": "QueueTimeout",
    "grace": "Grace",
    "priority": "Priority",
    "hold": "Hold",
}


def _command(
    words: tuple[str, ...], image: str | None, slurm: dict[str, Any] | None
) -> dict[str, Any]:
    line = words[0] if len(words) == 1 else None
    if slurm is not None:
        of_shell = line if line is not None else shlex.join(words)
        return {"Commands": [{"Kind": "slurm", "CommandLine": of_shell, "Slurm": slurm}]}
    if image is None:
        return {"CommandLine": line if line is not None else shlex.join(words)}
    of_image: dict[str, Any] = {"Kind": "docker", "Image": image}
    if line is not None:
        of_image |= {"CommandLine": line, "Shell": True}
    else:
        of_image["Arguments"] = list(words)
    return {"Commands": [of_image]}


def _submitted(service: Client, submission: dict[str, Any], key: str | None) -> Job:
    """Ctrl-C may come when the service has it already."""
    sent = key or str(uuid4())
    try:
        return service.submit(submission, key=sent)
    except KeyboardInterrupt:
        note(f"The job may have been submitted; `jobrunner run --key {sent} …` finds it.")
        raise
