"""What every route about a job's output takes: which part of it, and in which format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeVar

from service.api import forms
from service.api.last_event import LastEvent, last_event_id
from service.api.negotiation import FORMAT, Negotiated, negotiated
from service.api.parameters import OfJob, header, optional, query
from service.api.selecting import AGREEMENT, Selecting
from service.errors import BadQuery
from service.output.formats.encoder import Encoder
from service.output.formats.format import Format
from service.output.index import STDERR, STDOUT
from service.web.request import Request

# Beyond any file: offsets are signed 64-bit numbers in the kernel.
MAX_OFFSET: Final = 2**63 - 1


@dataclass(frozen=True, kw_only=True)  # two bases can't both have slots
class InFormat:
    """How output is to be written."""

    format: Format | None = optional(
        FORMAT, "The format; it wins over the header `Accept`, which says the same."
    )
    marks_gaps: bool | None = optional(
        forms.one_of({"cut": False, "mark": True}),
        "Where bytes were dropped: the answer is cut, or says so. When not given, `cut` for"
        " `bytes` and `docker`, else `mark`.",
        name="gaps",
    )
    timestamps: bool = query(
        forms.flag(),
        "Whether each line begins with the time at which it came (`text`).",
        default=False,
    )
    lines: bool = query(
        forms.flag(), "Whether each line is a record of its own (`sse`, `ndjson`).", default=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(OfJob, InFormat, Selecting):
    """The parameters that attach and output have in common."""

    offset: int = query(
        forms.integer(-MAX_OFFSET, MAX_OFFSET),
        "Where to begin; a negative one counts from the present end.",
        default=0,
    )
    stream: int | None = optional(
        forms.one_of({"stdout": STDOUT, "stderr": STDERR}),
        "Only this one; offsets then count its bytes.",
    )
    last_event: LastEvent | None = header(
        last_event_id(),
        "The ID of the last event that came (`sse`): what comes next. It wins over `offset`.",
        name="Last-Event-ID",
    )


R = TypeVar("R", bound=Reading)


def in_format(request: Request, given: InFormat) -> Negotiated:
    """The format of a response. Raises: NotAcceptable; BadQuery, for what that format can't, and
    for parameters that contradict each other.
    """
    # `request.args` has no parameter with an empty value: an empty pattern is one.
    AGREEMENT.check(request.get_args(keep_blank_values=True))
    found = negotiated(request, given.format)
    if given.timestamps and not found.format.has_timestamps:
        raise contradiction("timestamps", found.format, "only text has times in its lines")
    if given.lines and not found.format.has_records:
        raise contradiction("lines", found.format, "only sse and ndjson have records")
    return found


def encoder_of(wanted: Format, given: Reading) -> Encoder:
    """What encodes the output for this reader."""
    return wanted.encoder(
        stream=given.stream,
        marks_gaps=given.marks_gaps,
        timestamps=given.timestamps,
        lines=given.lines,
    )


def resumed(wanted: Format, given: R) -> R:
    """What is asked for when a reader of events connects again: what it doesn't have yet."""
    if given.last_event is None or not wanted.has_event_ids:
        return given
    return replace(given, offset=given.last_event.offset, tail=None, since=None)


def has_all(wanted: Format, given: Reading) -> bool:
    """Whether a reader of events has had the end record."""
    return wanted.has_event_ids and given.last_event is not None and given.last_event.is_end


def contradiction(name: str, wanted: Format, why: str) -> BadQuery:
    """A parameter, and a format that has no use for it."""
    return BadQuery(
        f"The query parameter {name!r} and the format {wanted.name!r} (of 'format' or 'Accept')"
        f" contradict each other: {why}."
    )
