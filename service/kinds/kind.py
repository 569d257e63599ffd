"""What a Kind is: a spec to validate, and a plan to run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.jobs.errors import Place
from service.jobs.spec import CommandSpec


@dataclass(frozen=True, slots=True)
class Context:
    """Where a command will run.

    `path` is the service's own search path, never the job's: a job that sets PATH still finds its
    interpreter.
    """

    job_id: str
    number: int
    path: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How a command is run: `argv` by execve, without a shell of ours in between.

    `cleanup` is run by the supervisor after the command was killed, whoever asked and whoever has
    died meanwhile; empty for a Kind whose processes are all children of the supervisor.
    """

    argv: tuple[str, ...]
    cleanup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: the name on the wire, the spec, its own checks, and the plan; and
    whether what runs is all children of the supervisor, which limits hold for.
    """

    name: str
    spec: type[CommandSpec]
    places: Callable[[Any, str], Iterator[Place]]
    plan: Callable[[Any, Context], Plan]
    can_be_limited: bool = False
