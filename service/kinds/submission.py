"""From a request's body to a validated job, and from a stored one back.

A submission is decoded once: JSON, then the job's own shape, then each command by its Kind. What is
wrong is told as places: a JSON pointer, what was expected there, and what came.
"""

from __future__ import annotations

from typing import Any, Final, Union

import msgspec

from service.jobs.bounds import Bounds, places_out_of_bounds
from service.jobs.errors import InvalidJob, MalformedBody, Place
from service.jobs.spec import (
    DEFAULT_GRACE_S,
    CommandSpec,
    JobBody,
    JobSpec,
    Limits,
    places_in_command,
    places_in_job,
    places_in_limits,
)
from service.kinds import KINDS, Site, kind_of
from service.kinds.places import place_of
from service.settings import Settings

DEFAULT_KIND: Final = "bash"


def _number(text: str) -> int | float:
    """JSON has one kind of numbers: what is whole is an integer, however it is written."""
    number = float(text)
    # Beyond 2**53 a float names no single integer.
    return int(number) if number.is_integer() and abs(number) <= 2**53 else number


_body: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(float_hook=_number)


def parse_submission(
    body: bytes,
    *,
    output_ceiling: int = 0,
    ceilings: Limits | None = None,
    settings: Settings | None = None,
) -> JobSpec:
    """The job that `body` describes; it may ask for `output_ceiling` bytes at the most, 0: for any,
    for no more than `ceilings`, and for what `settings` allow (None: the default ones).

    Raises:
        MalformedBody: `body` is not JSON.
        InvalidJob: it is JSON, but not a valid job.
    """
    try:
        raw = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedBody(_why_malformed(body, exc)) from exc
    if not isinstance(raw, dict):
        raise InvalidJob([place_of_type("", "object", raw)])
    if places := list(places_out_of_bounds(raw, _bounds(settings))):
        raise InvalidJob(places)
    try:
        job = msgspec.convert(raw, JobBody)
    except msgspec.ValidationError as exc:
        raise InvalidJob([place_of(exc, raw, JobBody)]) from exc
    places = list(places_in_job(job))
    if 0 < output_ceiling < (job.output_limit or 0):
        expected = f"expected at most {output_ceiling} bytes, this service's own limit"
        places.append(Place("/OutputLimit", f"{expected}, got {job.output_limit}"))
    limits = job.limits or Limits()
    places += places_in_limits(limits, ceilings or Limits())
    if places:
        raise InvalidJob(places)
    commands = _commands(job, Site(job, settings))
    return JobSpec(
        commands=commands,
        environment=job.environment,
        working_dir=job.working_dir,
        name=job.name,
        labels=job.labels,
        timeout_s=job.timeout or 0.0,
        idle_timeout_s=job.idle_timeout or 0.0,
        queue_timeout_s=job.queue_timeout or 0.0,
        priority=job.priority or 0,
        grace_s=DEFAULT_GRACE_S if job.grace is None else job.grace,
        output_limit=job.output_limit or 0,
        limits=limits,
    )


def _bounds(settings: Settings | None) -> Bounds:
    if settings is None:
        return Bounds()
    return Bounds(
        commands=settings.max_commands,
        labels=settings.max_labels,
        nesting=settings.max_nesting,
        text=settings.max_text,
    )


def place_of_type(pointer: str, expected: str, value: object) -> Place:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return Place(pointer, f"expected {expected}, got {names.get(type(value), 'number')}")


def _why_malformed(body: bytes, exc: Exception) -> str:
    if not body.strip():
        return "Expected a JSON object, got an empty body."
    return f"Expected a JSON object, got something that is not JSON: {exc}."


def _commands(job: JobBody, site: Site) -> tuple[CommandSpec, ...]:
    if isinstance(job.command_line, str):
        return (_command({"Kind": DEFAULT_KIND, "CommandLine": job.command_line}, "", site),)
    assert isinstance(job.commands, list)  # noqa: S101 - places_in_job has seen to it
    return tuple(_command(raw, f"/Commands/{n}", site) for n, raw in enumerate(job.commands))


def _command(raw: dict[str, Any], pointer: str, site: Site) -> CommandSpec:
    name = raw.get("Kind", DEFAULT_KIND)
    if not isinstance(name, str) or name not in KINDS:
        known = ", ".join(sorted(KINDS))
        detail = f"expected one of the kinds {known}, got {msgspec.json.encode(name).decode()[:80]}"
        raise InvalidJob([Place(f"{pointer}/Kind", detail)])
    kind = KINDS[name]
    try:
        spec = msgspec.convert(raw, kind.spec)
    except msgspec.ValidationError as exc:
        raise InvalidJob([place_of(exc, raw, kind.spec, pointer)]) from exc
    places = [*places_in_command(spec, pointer), *kind.places(spec, pointer, site)]
    if places:
        raise InvalidJob(places)
    return spec


_AnyCommand: Any = Union[tuple(kind.spec for kind in KINDS.values())]  # noqa: UP007 - built at run time
_StoredJob: Any = msgspec.defstruct(
    "_StoredJob",
    [("commands", tuple[_AnyCommand, ...])],
    bases=(JobSpec,),
    frozen=True,
    kw_only=True,
    rename="pascal",
)
_STORED_DECODER: Final = msgspec.json.Decoder(_StoredJob)
_STORED_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def encode_spec(spec: JobSpec) -> bytes:
    """`spec` in canonical JSON: two submissions that mean the same give the same bytes."""
    return _STORED_ENCODER.encode(spec)


def decode_spec(data: bytes) -> JobSpec:
    """The spec that `encode_spec` wrote."""
    spec: JobSpec = _STORED_DECODER.decode(data)
    return spec


__all__ = ["decode_spec", "encode_spec", "kind_of", "parse_submission"]
