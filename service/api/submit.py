"""`POST /`: submit a job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api.callers import audit
from service.api.forms import Form, Unfit
from service.api.jobs import LINKS_OF_JOB
from service.api.negotiation import MEDIA_TYPES
from service.api.one_call import AGREEMENT, OneCall, check_one_call, respond
from service.api.parameters import header
from service.api.responses import json_response
from service.api.route import JSON, Route, Routes, Success
from service.errors import BadQuery, InsufficientStorage
from service.jobs.ceilings import check_ceilings
from service.jobs.decoding import decode_object
from service.jobs.spec import JobBody, JobSpec
from service.jobs.views import Accepted, JobView
from service.kinds.validation import validate_job
from service.settings import Settings
from service.web.fd_reserve import Cost
from service.web.request import Request
from service.web.timeouts import no_response_timeout

T = TypeVar("T")

routes: Final = Routes()

# Long enough for a UUID with a prefix, short enough for an index.
_MAX_KEY_CHARS: Final = 255
# Bytes of a body that takes longer to parse than a thread takes to wake.
_LARGE_BYTES: Final = 64 << 10
# Bounds the memory for the objects of all large bodies that are parsed at a time.
_one_large: Final = asyncio.Semaphore(1)


def _key(text: str) -> str:
    if 0 < len(text) <= _MAX_KEY_CHARS and text.isascii() and text.isprintable():
        return text
    raise Unfit(text)


_KEY: Final = Form(
    _key,
    f"1 to {_MAX_KEY_CHARS} printable ASCII characters",
    # Neither end is a space: HTTP strips those of a header.
    {"type": "string", "pattern": f"^[!-~]([ -~]{{0,{_MAX_KEY_CHARS - 2}}}[!-~])?$"},
)


SUCCESSES: Final = (
    Success(
        201,
        "Stored: it will run, or be reported as not run. With `wait` its view, with"
        " `attach` its output.",
        Accepted,
        JobView,
        content=(JSON, *MEDIA_TYPES),
        headers=("Location",),
    ),
    Success(
        200,
        "That key and body led to this job before.",
        Accepted,
        JobView,
        content=(JSON, *MEDIA_TYPES),
        headers=("Location",),
    ),
)
PROBLEMS: Final[tuple[type[errors.JobrunnerError], ...]] = (
    errors.BadHeader,
    BadQuery,
    errors.UnknownJob,
    errors.NotAcceptable,
    errors.Draining,
    errors.MalformedBody,
    errors.UnsupportedMediaType,
    errors.InvalidJob,
    errors.IdempotencyKeyReused,
    InsufficientStorage,
)


@dataclass(frozen=True, kw_only=True)  # a subclass has slots, and several bases
class Submission(OneCall):
    """What every submission of a job takes."""

    key: str | None = header(
        _KEY, "Repeated with the same body it leads to the same job.", name="Idempotency-Key"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit(Submission):
    pass


@routes.add(
    Route(
        method="POST",
        path="/",
        operation="submit",
        meaning="Submit a job.",
        parameters=Submit,
        details=(
            "A job is one `CommandLine`, or a list of `Commands` that run one after the other. With"
            " an `Idempotency-Key` a submission that got no response can be sent again. With `wait`"
            " or `attach` the whole run is one request; a caller that goes away changes nothing."
        ),
        agreement=AGREEMENT,
        any_query=True,
        body=JobBody,
        scope=Scope.RUN,
        cost=Cost.STARTS_WORK,
        successes=SUCCESSES,
        problems=PROBLEMS,
        links=LINKS_OF_JOB,
    )
)
async def submit(request: Request, given: Submit) -> HTTPResponse | None:
    """Store a job: 201, or 200 when the idempotency key was used for the same body before. Then
    answer with its ID, with its view, or with its output; None, as that is sent when this returns.

    Raises: BadQuery, NotAcceptable, MalformedBody, InvalidJob, IdempotencyKeyReused,
        InsufficientStorage, TooManyRequests, Draining, Unavailable; UnknownJob, when there is
        something to wait for and the job was cleaned.
    """
    check_one_call(request, given)  # whatever refuses comes before the job is stored
    settings = request.app.ctx.settings
    spec = await in_thread_if_large(request.body, lambda body: _parse(body, settings))
    return await take(request, given, spec)


async def take(
    request: Request, given: Submission, spec: JobSpec, *, again: str | None = None
) -> HTTPResponse | None:
    """Store the job and answer, as `submit` does. `again`: the job that it repeats."""
    ctx, principal = request.app.ctx, request.principal
    check_ceilings(spec, principal.ceilings)
    # The engine has a time limit of its own, and takes back what it has begun. With Sanic's the
    # client would get a 503, and the job would run.
    with no_response_timeout(request):
        submission = await ctx.engine.submit(
            spec, key=given.key, principal=principal.name, ceilings=principal.ceilings
        )
        if again is not None:
            audit(request, "rerun", again, always=submission.created)
        audit(request, "submit", submission.id, always=submission.created)
        status = 201 if submission.created else 200
        headers = {"Location": f"{ctx.settings.prefix}/{submission.id}"}
        if given.is_one_call:
            return await respond(request, given, submission.id, status, headers)
    return json_response(Accepted(submission.id), status=status, headers=headers)


async def in_thread_if_large(data: bytes, parse: Callable[[bytes], T]) -> T:
    """What `parse` makes of it. Large ones are parsed in a thread, one at a time, while other
    requests go on.
    """
    if len(data) <= _LARGE_BYTES:
        return parse(data)
    async with _one_large:
        return await asyncio.to_thread(parse, data)


def _parse(body: bytes, settings: Settings) -> JobSpec:
    return validate_job(decode_object(body), settings)
