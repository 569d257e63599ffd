"""From a request's body to a validated job, and from a stored one back.

A submission is decoded once: JSON, then the job's own shape, then each command by its Kind. What is
wrong is told as places: a JSON pointer, what was expected there, and what came.

Time and memory are linear in the size of the body, whatever is in it: it is measured before it is
decoded, and looking ends at the first mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any, Final, Union

import msgspec

from service.errors import FieldError, InvalidJob, MalformedBody
from service.jobs.bounds import (
    MAX_DEPTH,
    MAX_VALUES,
    Bounds,
    places_out_of_bounds,
    places_too_deep_or_long,
    size_of,
)
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
from service.kinds import KINDS, Kind, Site, kind_of
from service.kinds.places import in_json, place_of, unknown_keys
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
    raw = _decode(body, _bounds(settings))
    _refuse(unknown_keys(raw, JobBody))
    try:
        job = msgspec.convert(raw, JobBody)
    except msgspec.ValidationError as exc:
        raise InvalidJob([place_of(exc, raw, JobBody)]) from exc
    places: list[FieldError] = []
    if 0 < output_ceiling < (job.output_limit or 0):
        expected = f"expected at most {output_ceiling} bytes, this service's own limit"
        places.append(FieldError("/OutputLimit", f"{expected}, got {job.output_limit}"))
    limits = job.limits or Limits()
    places += places_in_limits(limits, ceilings or Limits())
    _refuse(chain(places_in_job(job), places))
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


def _decode(body: bytes, bounds: Bounds) -> dict[str, Any]:
    """The object that `body` is, within `bounds`. Raises: MalformedBody, InvalidJob."""
    size = size_of(body)
    if size.depth > MAX_DEPTH:
        what = f"arrays and objects of more than {MAX_DEPTH} levels within each other"
        raise MalformedBody(f"Expected a JSON object, got {what}.")
    if size.values > MAX_VALUES:
        expected = f"expected at most {MAX_VALUES} values (texts, numbers, arrays, …) in all"
        raise InvalidJob([FieldError("", f"{expected}, got more")])
    try:
        raw = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedBody(_why_malformed(body, exc)) from exc
    if not isinstance(raw, dict):
        raise InvalidJob([place_of_type("", "object", raw)])
    _refuse(places_out_of_bounds(raw, bounds))
    if size.depth > bounds.nesting or len(body) > bounds.text:
        _refuse(places_too_deep_or_long(raw, bounds))
    return raw


def _refuse(places: Iterable[FieldError]) -> None:
    """Raises: InvalidJob, when there is one."""
    places = iter(places)
    for first in places:
        raise InvalidJob(chain((first,), places))


def _bounds(settings: Settings | None) -> Bounds:
    if settings is None:
        return Bounds()
    return Bounds(
        commands=settings.max_commands,
        labels=settings.max_labels,
        nesting=settings.max_nesting,
        text=settings.max_text,
    )


def place_of_type(pointer: str, expected: str, value: object) -> FieldError:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return FieldError(pointer, f"expected {expected}, got {names.get(type(value), 'number')}")


def _why_malformed(body: bytes, exc: Exception) -> str:
    if not body.strip():
        return "Expected a JSON object, got an empty body."
    return f"Expected a JSON object, got something that is not JSON: {exc}."


def _commands(job: JobBody, site: Site) -> tuple[CommandSpec, ...]:
    if isinstance(job.command_line, str):
        raw = {"Kind": DEFAULT_KIND, "CommandLine": job.command_line}
        return (_command(raw, KINDS[DEFAULT_KIND], "", site),)
    assert isinstance(job.commands, list)  # noqa: S101 - places_in_job has seen to it
    of_others = replace(site, is_first=False)
    seen: set[str] = set()
    specs = []
    for number, raw in enumerate(job.commands):
        kind, pointer = _kind(raw, f"/Commands/{number}"), f"/Commands/{number}"
        specs.append(_command(raw, kind, pointer, of_others if kind.name in seen else site))
        seen.add(kind.name)
    return tuple(specs)


def _kind(raw: dict[str, Any], pointer: str) -> Kind:
    name = raw.get("Kind", DEFAULT_KIND)
    if not isinstance(name, str) or name not in KINDS:
        known = ", ".join(sorted(KINDS))
        detail = f"expected one of the kinds {known}, got {in_json(name)}"
        raise InvalidJob([FieldError(f"{pointer}/Kind", detail)])
    return KINDS[name]


def _command(raw: dict[str, Any], kind: Kind, pointer: str, site: Site) -> CommandSpec:
    _refuse(unknown_keys(raw, kind.spec, pointer))
    try:
        spec = msgspec.convert(raw, kind.spec)
    except msgspec.ValidationError as exc:
        raise InvalidJob([place_of(exc, raw, kind.spec, pointer)]) from exc
    _refuse(chain(places_in_command(spec, pointer), kind.places(spec, pointer, site)))
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
