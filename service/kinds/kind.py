"""What a Kind is: a spec to validate, a plan to run it, and how to look after what it leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from service.errors import FieldError
from service.files.job import JobFiles
from service.jobs.spec import CommandSpec, JobBody
from service.settings import KindSettings, Settings


@dataclass(frozen=True, slots=True)
class Site:
    """Where a command that is checked stands: in this job, for a service with these settings.
    `is_first`: of the job's commands of this Kind; only then the Kind checks what grows with the
    job itself, or the time would grow with both.
    """

    job: JobBody
    settings: Settings
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
    descriptor, whose number becomes `argv[options_index]`, so that no process list shows them.
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
    options_index: int = 0
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
class Orphan:
    """Something that a dead job left outside of the reach of its supervisor."""

    job_id: str
    name: str


class Kind(ABC):
    """How commands of one kind are checked, run and cleaned up after."""

    # On the wire, as the tag of `spec`.
    name: str
    spec: type[CommandSpec]
    # What `errors_in` checks between keys, in JSON Schema, for the description of the API.
    rules: Mapping[str, Any] = MappingProxyType({})
    # What an operator can set for this Kind alone.
    settings: type[KindSettings] | None = None

    @abstractmethod
    def errors_in(self, spec: Any, pointer: str, site: Site) -> Iterator[FieldError]:
        """What is wrong with `spec` beyond its types and what all Kinds share."""

    @abstractmethod
    def plan(self, spec: Any, context: Context) -> Plan:
        """How `spec` is run; what isn't a child of the supervisor is kept within the context's
        limits. Raises: CannotRun.
        """

    def host_directory(self, spec: Any) -> str | None:
        """The part of the command's `WorkingDir` that is a directory of this host."""
        directory: str | None = spec.working_dir
        return directory

    def runs_as_others(self, settings: Settings) -> bool:  # noqa: ARG002 - for the Kinds that can
        """Whether commands of this Kind enter the job's directory as yet another user."""
        return False

    def fault(self, settings: Settings) -> str | None:  # noqa: ARG002 - for the Kinds that ask
        """Why no command of this Kind can run now, None if one can. May take seconds."""
        return None

    def orphans(self, settings: Settings) -> list[Orphan]:  # noqa: ARG002 - the same
        """What commands of this Kind left behind, those of live jobs too. May take seconds.

        Raises: CannotRun, when that can't be seen.
        """
        return []

    def remove_orphans(self, settings: Settings, orphans: Sequence[Orphan]) -> None:
        """Remove these. May take seconds. Raises: CannotRun."""
        raise NotImplementedError  # as `orphans` finds none
