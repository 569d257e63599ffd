"""What a Kind is: a spec to validate, a plan to run it, and how to remove what it leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from service.errors import FieldError
from service.jobs.spec import CommandSpec, JobBody
from service.kinds.plan import Context, Plan
from service.settings import KindSettings, Settings


class Site(msgspec.Struct, frozen=True):
    """Where a command that is checked stands: in this job, for a service with these settings.
    `is_first`: of the job's commands of this Kind; only then the Kind checks what grows with the
    job itself, or the time would grow with both.
    """

    job: JobBody
    settings: Settings
    is_first: bool = True


class Orphan(msgspec.Struct, frozen=True):
    """Something that a dead job left outside of the reach of its supervisor."""

    job_id: str
    name: str


# What is known elsewhere of commands that run, by job and number, as `Kind.told` names it.
UnderWay: TypeAlias = Mapping[tuple[str, int], Mapping[str, Any]]


class Kind(ABC):
    """How commands of one kind are checked, run and cleaned up after."""

    # On the wire, as the tag of `spec`.
    name: str
    spec: type[CommandSpec]
    # What `errors_in` checks between keys, in JSON Schema, for the description of the API.
    rules: Mapping[str, Any] = MappingProxyType({})
    # What an operator can set for this Kind alone.
    settings: type[KindSettings] | None = None
    # Others than this host run its commands, within the job's limits, of which none binds the
    # process here; `errors_in` refuses what can't be kept there.
    keeps_limits: bool = False
    # What the view of a command tells besides, by name: members that nobody asks for, None until
    # they are known.
    told: type[msgspec.Struct] | None = None

    @abstractmethod
    def errors_in(self, spec: Any, pointer: str, site: Site) -> Iterator[FieldError]:
        """What is wrong with `spec` beyond its types and what all Kinds share."""

    @abstractmethod
    def plan(self, spec: Any, context: Context) -> Plan:
        """How `spec` is run; what isn't a child of the supervisor is kept within the context's
        limits. Raises: CannotRun.
        """

    def facts(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """All that `told` names; None for what isn't known."""
        names = () if self.told is None else self.told.__struct_encode_fields__
        return {name: known.get(name) for name in names}

    def under_way(self, settings: Settings) -> UnderWay:  # noqa: ARG002 - for the Kinds that ask
        """What can be told now of each command that runs, by job and number, as `told` names it:
        one question for all of them. May take seconds. Raises: CannotRun.
        """
        return {}

    def needs(self, spec: Any) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - for those that do
        """Each key of `spec` that a supervisor can only keep with a capability, and which."""
        yield from ()

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

    def is_set_up(self, settings: Settings) -> bool:  # noqa: ARG002 - for the Kinds that few have
        """Whether an operator has begun to set it up here: else that it can't run is no fault."""
        return True

    def warnings(self, settings: Settings) -> Iterator[str]:  # noqa: ARG002 - the same
        """What may go wrong with commands of this Kind, though they can run."""
        yield from ()

    def orphans(self, settings: Settings) -> list[Orphan]:  # noqa: ARG002 - the same
        """What commands of this Kind left behind, those of live jobs too. May take seconds.

        Raises: CannotRun, when that can't be seen.
        """
        return []

    def remove_orphans(self, settings: Settings, orphans: Sequence[Orphan]) -> None:
        """Remove these. May take seconds. Raises: CannotRun."""
        raise NotImplementedError  # as `orphans` finds none
