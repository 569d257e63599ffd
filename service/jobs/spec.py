"""What a caller asks for: frozen specs, validated once at the edge and trusted ever after.

The names on the wire are PascalCase. What types can't say is checked by `service.jobs.checks`.
"""

from __future__ import annotations

import msgspec

from service.jobs.fields import (
    DEFAULT_GRACE_S,
    CommandLine,
    Commands,
    Environment,
    EnvironmentPatch,
    Labels,
    LabelsPatch,
    Name,
    OutputLimit,
    Priority,
    Seconds,
    WorkingDir,
)
from service.jobs.given_files import Files, FilesPatch, GivenFile
from service.jobs.limits import Limits
from service.jobs.terminal import Terminal


class CommandSpec(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """What every Kind of command has. `working_dir` is relative to the job's."""

    working_dir: WorkingDir | None = None
    environment: Environment = {}
    continue_on_failure: bool = False


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One validated job. A timeout of 0 means none, a higher `priority` comes first; `working_dir`
    None: the job's own directory; `output_limit` 0: that of the service. `hold`: it waits for a
    release before it waits for a run slot. `files` are in its directory before its first command.
    """

    commands: tuple[CommandSpec, ...]
    environment: dict[str, str] = {}
    working_dir: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    timeout_s: float = 0.0
    idle_timeout_s: float = 0.0
    queue_timeout_s: float = 0.0
    priority: int = 0
    grace_s: float = DEFAULT_GRACE_S
    output_limit: int = 0
    limits: Limits = Limits()
    hold: bool = False
    files: dict[str, GivenFile] = {}
    stdin: bool = False
    tty: Terminal | None = msgspec.field(default=None, name="TTY")

    @property
    def has_input(self) -> bool:
        """Whether somebody can write to it: into a pipe, or a terminal."""
        return self.stdin or self.tty is not None


class JobBody(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """The body of a submission, before its commands are handed to their Kinds."""

    command_line: CommandLine | msgspec.UnsetType = msgspec.UNSET
    commands: Commands | msgspec.UnsetType = msgspec.UNSET
    environment: Environment = {}
    working_dir: WorkingDir | None = None
    name: Name | None = None
    labels: Labels = {}
    timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    priority: Priority | None = None
    grace: Seconds | None = None
    output_limit: OutputLimit | None = None
    limits: Limits | None = None
    hold: bool = False
    files: Files = {}
    stdin: bool = False
    tty: Terminal | None = msgspec.field(default=None, name="TTY")


class JobPatch(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """A merge patch of a submission (RFC 7396), as it is described: what it makes is checked.

    A key replaces that of the submission, null removes it, objects are merged.
    """

    command_line: CommandLine | msgspec.UnsetType | None = msgspec.UNSET
    commands: Commands | msgspec.UnsetType | None = msgspec.UNSET
    environment: EnvironmentPatch | msgspec.UnsetType | None = msgspec.UNSET
    working_dir: WorkingDir | None = None
    name: Name | None = None
    labels: LabelsPatch | msgspec.UnsetType | None = msgspec.UNSET
    timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    priority: Priority | None = None
    grace: Seconds | None = None
    output_limit: OutputLimit | None = None
    limits: Limits | None = None
    hold: bool | None = None
    files: FilesPatch | msgspec.UnsetType | None = msgspec.UNSET
    stdin: bool | None = None
    tty: Terminal | None = msgspec.field(default=None, name="TTY")


class JobChange(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """The body of a change of a pending job."""

    priority: Priority
