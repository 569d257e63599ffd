"""What a Kind is: a spec to validate, a plan to run it, and how to look after what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.errors import FieldError
from service.files.job import JobFiles
from service.jobs.spec import CommandSpec, JobBody
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """Where a command was found that is checked: in this job, for a service with these settings
    (None: with the default ones). `is_first`: of the job's commands of this Kind; only then the
    Kind looks at what grows with the job itself, or the time would grow with both.
    """

    job: JobBody
    settings: Settings | None = None
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """Where a command will run.

    `files` says where the job's files are, `root` is the directory on this box that the job's
    `WorkingDir` names. `environment` is the job's. `limits` hold for it, those in force only.
    """

    job_id: str
    number: int
    settings: Settings
    files: JobFiles
    root: str
    environment: Mapping[str, str]
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The service's own search path, never the job's: a job that sets PATH still finds its
        interpreter.
        """
        return self.settings.base_environment["PATH"]

    @property
    def marker(self) -> dict[str, str]:
        """What names the job, and the command in it, to each of its processes."""
        return {"JOBRUNNER_JOB_ID": self.job_id, "JOBRUNNER_COMMAND": str(self.number)}


class CannotRun(Exception):
    """The command can't be run; the message is a sentence for its record."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a command is run: `argv` by execve, without a shell of ours in between, with `input` as
    its standard input (empty: there is none).

    `environment` is what the job chose, for a program that is the job's own. A program that isn't
    (`environment` None) gets the service's: docker's client, which runs as the service's user
    (`is_of_service`), and bwrap, which runs as the job's, but outside of the sandbox. Such a
    program hands the job's variables on as data. `options` are for bwrap: it reads them from a
    descriptor, whose number becomes `argv[2]`, so that no process list shows them.
    `keeps_privileges_down`: the program sets PR_SET_NO_NEW_PRIVS itself.

    `verdict` is run by the supervisor when the wait status is in one of the ranges `verdict_if`: it
    finds out how the command really ended. `cleanup` is run when the command has ended or is
    killed, whoever asked and whoever has died meanwhile; `tidy`, a quicker one, when it ended in
    the ordinary way. All are empty for a Kind whose processes are all children of the supervisor.
    They are the service's programs, with its environment, whatever the command's has.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    is_of_service: bool = False
    input: str = ""
    options: tuple[str, ...] = ()
    keeps_privileges_down: bool = False
    verdict: tuple[str, ...] = ()
    verdict_if: tuple[tuple[int, int], ...] = ()
    tidy: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises: ValueError, for a program of the service with variables that a job chose."""
        if self.is_of_service and self.environment is not None:
            raise ValueError("a program of the service has the service's environment alone")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that a command of this job left outside of the reach of its supervisor."""

    job_id: str
    name: str


def _no_fault(_settings: Settings) -> str | None:
    return None


def _nothing_left(_settings: Settings) -> list[Leftover]:
    return []


def _remove_nothing(_settings: Settings, _leftovers: Sequence[Leftover]) -> None:
    return


def _given_directory(spec: Any) -> str | None:
    directory: str | None = spec.working_dir
    return directory


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: the name on the wire, the spec, its own checks, and the plan.

    `plan` raises CannotRun. `directory` is the part of a command's `WorkingDir` that is a directory
    of this box. `fault` says why no command of this Kind can run now, None if it can; `leftovers`
    lists what its commands left behind, and raises CannotRun when that can't be seen; `remove`
    removes such. These three may take seconds. What runs without being a child of the supervisor is
    kept within the context's limits by the plan. `rules` is what `places` checks between keys, in
    JSON Schema, for the description of the API.
    """

    name: str
    spec: type[CommandSpec]
    places: Callable[[Any, str, Site], Iterator[FieldError]]
    plan: Callable[[Any, Context], Plan]
    directory: Callable[[Any], str | None] = field(default=_given_directory)
    fault: Callable[[Settings], str | None] = field(default=_no_fault)
    leftovers: Callable[[Settings], list[Leftover]] = field(default=_nothing_left)
    remove: Callable[[Settings, Sequence[Leftover]], None] = field(default=_remove_nothing)
    rules: Mapping[str, Any] = field(default_factory=dict)
