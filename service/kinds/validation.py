"""From a decoded submission to a validated job: its own fields, then each command by its Kind.

What is wrong is an `InvalidJob`: JSON pointers, with what was expected there and what came. The
search ends with the first errors, so time is linear in the size of the body.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from msgspec.structs import replace

from service.errors import FieldError, InvalidJob, pointer_step, refuse_if_any
from service.jobs.checks import errors_in_command, errors_in_job, errors_in_size
from service.jobs.conversion import convert, in_json, keys_of
from service.jobs.fields import DEFAULT_GRACE_S
from service.jobs.given_files import GivenFile
from service.jobs.limits import Limits, errors_in_limits, errors_in_output_limit
from service.jobs.spec import CommandSpec, JobBody, JobSpec
from service.kinds import KINDS, Kind, Site
from service.settings import Settings

DEFAULT_KIND: Final = "bash"


def validate_job(raw: dict[str, Any], settings: Settings) -> JobSpec:
    """The job that `raw` describes, for a service with these settings. Raises: InvalidJob."""
    refuse_if_any(chain(errors_in_size(raw), _misplaced_keys(raw)))
    if "Files" in raw:
        _check_files(raw["Files"])
    body = convert(raw, JobBody)
    refuse_if_any(chain(errors_in_job(body), _errors_in_bounds(body, settings)))
    return JobSpec(
        commands=_commands(body, Site(body, settings)),
        environment=body.environment,
        working_dir=body.working_dir,
        name=body.name,
        labels=body.labels,
        timeout_s=body.timeout or 0.0,
        idle_timeout_s=body.idle_timeout or 0.0,
        queue_timeout_s=body.queue_timeout or 0.0,
        priority=body.priority or 0,
        grace_s=DEFAULT_GRACE_S if body.grace is None else body.grace,
        output_limit=body.output_limit or 0,
        limits=body.limits or Limits(),
        hold=body.hold,
        files=body.files,
        stdin=body.stdin,
        tty=body.tty,
    )


def _check_files(raw: Any) -> None:
    """Each by itself, so that an error names the one that has it. Raises: InvalidJob."""
    for path, given in raw.items() if isinstance(raw, dict) else ():
        if isinstance(given, dict):
            convert(given, GivenFile, f"/Files/{pointer_step(path)}")


def _misplaced_keys(raw: dict[str, Any]) -> Iterator[FieldError]:
    """Keys of a command that stand beside `CommandLine` of the job."""
    if not raw.keys() <= keys_of(JobBody):
        for key in raw:
            if key in _keys_of_commands_alone():
                detail = f'a key of a command: expected {{"Commands": [{{"{key}": …}}]}}'
                yield FieldError(f"/{key}", detail)


@functools.cache
def _keys_of_commands_alone() -> frozenset[str]:
    return frozenset().union(*(keys_of(kind.spec) for kind in KINDS.values())) - keys_of(JobBody)


def _errors_in_bounds(body: JobBody, settings: Settings) -> Iterator[FieldError]:
    if body.output_limit:
        yield from errors_in_output_limit(body.output_limit, settings)
    if body.limits is not None:
        yield from errors_in_limits(body.limits, settings)


def _commands(body: JobBody, site: Site) -> tuple[CommandSpec, ...]:
    if isinstance(body.command_line, str):
        raw = {"Kind": DEFAULT_KIND, "CommandLine": body.command_line}
        return (_command(raw, KINDS[DEFAULT_KIND], "", site),)
    assert isinstance(body.commands, list)  # noqa: S101 - errors_in_job has seen to it
    later = replace(site, is_first=False)
    seen: set[str] = set()
    specs = []
    for number, raw in enumerate(body.commands):
        kind, pointer = _kind(raw, f"/Commands/{number}"), f"/Commands/{number}"
        specs.append(_command(raw, kind, pointer, later if kind.name in seen else site))
        seen.add(kind.name)
    return tuple(specs)


def _keys_of_other_kinds(raw: dict[str, Any], kind: Kind, pointer: str) -> Iterator[FieldError]:
    known = keys_of(kind.spec)
    if raw.keys() <= known:
        return
    for key in raw.keys() - known:
        if others := sorted(k.name for k in KINDS.values() if key in keys_of(k.spec)):
            detail = f"a key of commands of the kind {' or '.join(others)}, this one is {kind.name}"
            yield FieldError(f"{pointer}/{key}", f"{detail}; expected {', '.join(sorted(known))}")


def _kind(raw: dict[str, Any], pointer: str) -> Kind:
    name = raw.get("Kind", DEFAULT_KIND)
    if not isinstance(name, str) or name not in KINDS:
        known = ", ".join(sorted(KINDS))
        detail = f"expected one of the kinds {known}, got {in_json(name)}"
        raise InvalidJob([FieldError(f"{pointer}/Kind", detail)])
    return KINDS[name]


def _command(raw: dict[str, Any], kind: Kind, pointer: str, site: Site) -> CommandSpec:
    refuse_if_any(_keys_of_other_kinds(raw, kind, pointer))
    spec = convert(raw, kind.spec, pointer)
    refuse_if_any(chain(errors_in_command(spec, pointer), kind.errors_in(spec, pointer, site)))
    return spec
