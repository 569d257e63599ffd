"""A command on a cluster as it is asked for, and what can be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from service.errors import FieldError, quoted
from service.jobs.checks import errors_in_text
from service.jobs.fields import MAX_SECONDS, CommandLine, also
from service.jobs.spec import CommandSpec
from service.kinds.kind import Site
from service.kinds.slurm import options
from service.kinds.slurm.names import CONSTRAINT, GPUS, MAX_CHARS, NAME
from service.kinds.slurm.settings import SlurmSettings

# Bytes: Slurm counts in MiB.
MIN_MEMORY: Final = 1 << 20

Name = Annotated[str, also(pattern=f"^{NAME}$", maxLength=MAX_CHARS)]
Constraint = Annotated[str, also(pattern=f"^{CONSTRAINT}$", maxLength=MAX_CHARS)]
GPUs = Annotated[str, also(pattern=f"^{GPUS}$", maxLength=MAX_CHARS)]
Time = Annotated[float, msgspec.Meta(ge=1, le=MAX_SECONDS)]
Memory = Annotated[int, msgspec.Meta(ge=MIN_MEMORY, le=2**60)]
Count = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Option = Annotated[str, also(pattern=f"^{options.OPTION}$", maxLength=options.MAX_CHARS)]
Options = Annotated[list[Option], also(maxItems=options.MAX_OPTIONS)]


class SlurmRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """What a command asks of the cluster. `time` is in seconds, `memory` in bytes on each node,
    `cpus` are those of each task.
    """

    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = msgspec.field(default=None, name="QOS")
    time: Time | None = None
    cpus: Count | None = msgspec.field(default=None, name="CPUs")
    memory: Memory | None = None
    gpus: GPUs | None = msgspec.field(default=None, name="GPUs")
    nodes: Count | None = None
    tasks: Count | None = None
    constraint: Constraint | None = None
    options: Options = []


class SlurmCommand(
    CommandSpec,
    frozen=True,
    kw_only=True,
    rename="pascal",
    forbid_unknown_fields=True,
    tag_field="Kind",
    tag="slurm",
):
    """A command line that bash runs on a cluster."""

    command_line: CommandLine
    slurm: SlurmRequest = SlurmRequest()


class Queued(msgspec.Struct, frozen=True, rename="pascal"):
    """Why Slurm lets a command wait, in its own words."""

    reason: str


class SlurmFacts(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the view of a command tells besides."""

    slurm_job_id: str | None = msgspec.field(default=None, name="SlurmJobID")
    nodes: str | None = None
    queued: Queued | None = None


_PATTERNS: Final = {
    "partition": ("Partition", NAME, "the name of a partition"),
    "account": ("Account", NAME, "the name of an account"),
    "qos": ("QOS", NAME, "the name of a quality of service"),
    "gpus": ("GPUs", GPUS, "a number of GPUs, or type:number"),
    "constraint": ("Constraint", CONSTRAINT, "features of nodes"),
}


def errors_in(spec: SlurmCommand, pointer: str, site: Site) -> Iterator[FieldError]:
    """What is wrong with `spec` beyond its types and what all Kinds share."""
    if not spec.command_line.strip():
        yield FieldError(f"{pointer}/CommandLine", "expected a command line, got an empty one")
    yield from errors_in_text(spec.command_line, f"{pointer}/CommandLine")
    yield from _errors_in_request(spec.slurm, f"{pointer}/Slurm", site)
    yield from _errors_in_job(pointer, site)


def _errors_in_request(asked: SlurmRequest, pointer: str, site: Site) -> Iterator[FieldError]:
    for field, (key, pattern, expected) in _PATTERNS.items():
        value: Any = getattr(asked, field)
        if value is not None and not (len(value) <= MAX_CHARS and re.fullmatch(pattern, value)):
            yield FieldError(f"{pointer}/{key}", f"expected {expected}, got {quoted(value)}")
    if len(asked.options) > options.MAX_OPTIONS:
        expected = f"expected at most {options.MAX_OPTIONS} options"
        yield FieldError(f"{pointer}/Options", f"{expected}, got {len(asked.options)}")
    allowed = site.settings.of(SlurmSettings).slurm_options
    for number, option in enumerate(asked.options[: options.MAX_OPTIONS]):
        if (why := options.why_not(option, allowed)) is not None:
            detail = f"expected {why}, got {quoted(option)}"
            yield FieldError(f"{pointer}/Options/{number}", detail)


def _errors_in_job(pointer: str, site: Site) -> Iterator[FieldError]:
    """What the job asks for all of its commands, and no cluster keeps."""
    if site.job.tty is not None:
        yield FieldError("/TTY", f"expected none for a job with a command of Slurm at {pointer}")
    limits = site.job.limits
    if limits is None:
        return
    if limits.pids:
        expected = f"expected none for a job with a command of Slurm at {pointer}"
        yield FieldError("/Limits/PIDs", f"{expected}, which has no such limit; got {limits.pids}")
    if 0 < (limits.cpus or 0) < 1:
        expected = f"expected at least 1 for a job with a command of Slurm at {pointer}"
        yield FieldError(
            "/Limits/CPUs", f"{expected}, which counts in whole ones; got {limits.cpus}"
        )
