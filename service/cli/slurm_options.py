"""Options of a command that runs on a Slurm cluster: what becomes its `Slurm`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from service.cli.durations import DURATION
from service.cli.sizes import SIZE

# Option → key of `Slurm`.
_KEYS: Final = {
    "partition": "Partition",
    "account": "Account",
    "qos": "QOS",
    "time_limit": "Time",
    "cpus": "CPUs",
    "memory": "Memory",
    "gpus": "GPUs",
    "nodes": "Nodes",
    "tasks": "Tasks",
    "constraint": "Constraint",
    "slurm_options": "Options",
}
_OPTIONS: Final = (
    click.option("--slurm", is_flag=True, help="Run it on the service's Slurm cluster."),
    click.option("--partition", metavar="NAME", help="With --slurm: the partition."),
    click.option("--account", metavar="NAME", help="With --slurm: the account."),
    click.option("--qos", metavar="NAME", help="With --slurm: the quality of service."),
    click.option(
        "--time-limit", type=DURATION, metavar="TIME", help="With --slurm: Slurm's limit, as 2h."
    ),
    click.option("--cpus", type=int, metavar="N", help="With --slurm: processors of each task."),
    click.option(
        "--memory", type=SIZE, metavar="SIZE", help="With --slurm: on each node, as 8G or 500M."
    ),
    click.option("--gpus", metavar="[TYPE:]N", help="With --slurm: GPUs."),
    click.option("--nodes", type=int, metavar="N", help="With --slurm: how many nodes."),
    click.option("--tasks", type=int, metavar="N", help="With --slurm: how many times it runs."),
    click.option("--constraint", metavar="FEATURES", help="With --slurm: features of the nodes."),
    click.option(
        "--slurm-option",
        "slurm_options",
        multiple=True,
        metavar="--OPTION",
        help="With --slurm: a further option of srun that the service allows.",
    ),
)


def slurm_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds them to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def taken_slurm(given: dict[str, Any]) -> dict[str, Any] | None:
    """Take them out of what a command was given: its `Slurm`; None: it isn't for a cluster.

    Raises: UsageError.
    """
    wanted = given.pop("slurm")
    values = {key: given.pop(option) for option, key in _KEYS.items()}
    asked = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None and value != ()
    }
    if asked and not wanted:
        names = ", ".join(asked)
        raise click.UsageError(f"Expected --slurm with what is asked of Slurm ({names}).")
    return asked if wanted else None
