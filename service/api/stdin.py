"""`POST /<ID>/stdin`: the body goes into the standard input of the job, as it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit, check_sees
from service.api.parameters import OfJob, optional, query
from service.api.responses import json_response
from service.api.route import OCTETS, Route, Routes, Success
from service.jobs.views import InputTaken
from service.web.body import pieces
from service.web.fd_reserve import Cost
from service.web.request import Request
from service.web.timeouts import no_response_timeout

# What the supervisor's protocol has for a count.
MAX_OFFSET: Final = 2**63 - 1

routes: Final = Routes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input(OfJob):
    offset: int | None = optional(
        forms.integer(0, MAX_OFFSET),
        "How many bytes of input were taken before; else it is refused.",
    )
    eof: bool = query(forms.flag(), "Whether the input ends with this body.", default=False)


@routes.add(
    Route(
        method="POST",
        path="/{ID}/stdin",
        operation="stdin",
        meaning="Write the body into the standard input of the job.",
        parameters=Input,
        details=(
            "The job has one if it was submitted with `Stdin`. The body goes in as it comes, and no"
            " faster than the job reads; of a pending job once it has started. The response comes"
            " when the job's pipe has taken all of it. A request that is cut has written what was"
            " taken of it: with an `offset` it can be repeated, since it is refused where the input"
            " goes on at another one, which the header `Jobrunner-Offset` says. So nothing is"
            " written twice, and bodies don't mix: one is refused as soon as another one was"
            " written into. An empty body asks for the present offset. An end behind it, with the"
            " `offset` at which the input was ended last, is a repeat, and a terminal gets it once;"
            " without an `offset` it gets another one."
        ),
        scope=Scope.RUN,
        cost=Cost.LONG_LIVED,
        is_streamed=True,
        media=(OCTETS,),
        successes=(Success(200, "How much the job's pipe has taken.", InputTaken),),
        problems=(
            errors.BadQuery,
            errors.UnknownJob,
            errors.NoInput,
            errors.InputOffset,
            errors.InputClosed,
            errors.JobNotRunning,
            errors.UnsupportedMediaType,
            errors.OutcomeUnknown,
        ),
    )
)
async def stdin(request: Request, given: Input) -> HTTPResponse:
    """Write the body into the job's input.

    Raises: UnknownJob, NoInput, InputOffset, InputClosed, JobNotRunning, OutcomeUnknown,
        Unavailable.
    """
    engine, job_id, offset = request.app.ctx.engine, given.job_id, given.offset
    check_sees(request, job_id)
    engine.jobs.state(job_id)  # an unknown job is nothing but that
    with no_response_timeout(request):
        # Refused before the body is read: a client that expects a 100 doesn't send it.
        taken = await engine.interaction.write_input(job_id, b"", offset)
        audit(request, "input", job_id, always=True)
        async for piece in pieces(request):
            taken = offset = await engine.interaction.write_input(job_id, piece, offset)
        if given.eof:
            taken = await engine.interaction.write_input(job_id, b"", offset, eof=True)
    return json_response(InputTaken(taken))
