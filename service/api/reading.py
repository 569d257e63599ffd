"""What every route about a job's output takes: which part of it, and in which format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.api import forms
from service.api.negotiation import FORMAT, Negotiated, negotiated
from service.api.parameters import OfJob, optional, query
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
        " `bytes`, else `mark`.",
        name="gaps",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(OfJob, InFormat):
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


def in_format(request: Request, given: InFormat) -> Negotiated:
    """The format of a response. Raises: NotAcceptable."""
    return negotiated(request, given.format)


def encoder_of(wanted: Format, given: Reading) -> Encoder:
    """What encodes the output for this reader."""
    return wanted.encoder(
        stream=given.stream,
        marks_gaps=given.marks_gaps,
    )
