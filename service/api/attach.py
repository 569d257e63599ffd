"""`GET /<ID>/attach`: the output from any offset, then live until the job ends.

Where bytes were dropped (`OutputLimit`), a line for people stands at the place; or what lies before
them is sent and the stream is cut, so that no program takes what comes for what was there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit, check_sees
from service.api.end_record import FIELDS, as_fields, end_record
from service.api.parameters import OfJob, optional, query
from service.api.route import Route, Routes, Success, Tag
from service.engine.job_subscription import JobSubscription
from service.errors import (
    BadQuery,
    InsufficientStorage,
    JobrunnerError,
    NotAcceptable,
    OffsetBeyondEnd,
    OffsetInGap,
    Unavailable,
    UnknownJob,
)
from service.output.formats.format import Format
from service.output.formats.registry import FORMATS
from service.output.index import STDERR, STDOUT
from service.web.fd_reserve import Cost, refuse_in_reserve
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import no_response_timeout

routes: Final = Routes()

# Beyond any file: offsets are signed 64-bit numbers in the kernel.
MAX_OFFSET: Final = 2**63 - 1

# Seconds after which a reader may come again when all places are taken.
_RETRY_S: Final = 5

_log = structlog.get_logger("jobrunner.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach(OfJob):
    offset: int = query(
        forms.integer(-MAX_OFFSET, MAX_OFFSET),
        "Where to begin; a negative one counts from the present end.",
        default=0,
    )
    stream: int | None = optional(
        forms.one_of({"stdout": STDOUT, "stderr": STDERR}),
        "Only this one; offsets then count its bytes.",
    )
    follow: bool = query(forms.flag(), "Whether to go on until the job ends.", default=True)
    marks_gaps: bool | None = optional(
        forms.one_of({"cut": False, "mark": True}),
        "Where bytes were dropped: the answer is cut, or a line says so. When not given, `mark` for"
        " `text/plain` and `cut` for `application/octet-stream`.",
        name="gaps",
    )


@routes.add(
    Route(
        method="GET",
        path="/{ID}/attach",
        operation="attach",
        meaning="The output from any offset, then live until the job ends.",
        parameters=Attach,
        tag=Tag.OUTPUT,
        details=(
            "The response lasts as long as the job, unless `follow` is false. What was cut is asked"
            " for again from the first byte that is missing."
        ),
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(
                200,
                "The bytes as they came. An answer that ends cleanly is whole; else it is cut.",
                content=tuple(found.media_type for found in FORMATS),
                headers=("Jobrunner-Offset", *FIELDS),
            ),
        ),
        problems=(
            BadQuery,
            UnknownJob,
            NotAcceptable,
            OffsetBeyondEnd,
            OffsetInGap,
            InsufficientStorage,
        ),
    )
)
async def attach(request: Request, given: Attach) -> HTTPResponse | None:
    """Stream the output; None, as it is sent when this returns.

    Raises: UnknownJob, NotAcceptable, OffsetBeyondEnd, OffsetInGap, Unavailable,
        InsufficientStorage; CorruptLog, when there is less than the record tells of; all before the
        response begins.
    """
    ctx, job_id = request.app.ctx, given.job_id
    wanted = _negotiated(request)
    check_sees(request, job_id)
    ctx.engine.state(job_id)  # an unknown job is neither refused for want of room nor audited
    _check_room(request)
    audit(request, "attach", job_id)
    output = ctx.engine.follow(
        job_id,
        wanted.encoder(marks_gaps=given.marks_gaps),
        offset=given.offset,
        stream=given.stream,
        follow=given.follow,
    )
    async with output:
        if output.descriptor is not None:
            refuse_in_reserve(output.descriptor)
        with no_response_timeout(request):
            await _stream(request, job_id, output, wanted.content_type)
    return None


async def _stream(
    request: Request, job_id: str, output: JobSubscription, content_type: str
) -> None:
    headers = _headers(output.offset)
    if output.is_finished:
        headers |= _end(request, job_id, output)
    response = StreamingResponse(request, headers, content_type, output.length, announced=FIELDS)
    try:
        async with response:
            if request.method != "HEAD":
                await output.copy_to(response)
            if response.takes_trailers:
                response.trailers = _end(request, job_id, output)
    except (StreamAborted, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, offset=output.offset, why=str(exc))


def _end(request: Request, job_id: str, output: JobSubscription) -> dict[str, str]:
    """How the job stands. Raises: UnknownJob, when it was cleaned; Unavailable."""
    record = request.app.ctx.engine.show(job_id)
    return as_fields(end_record(record, output.log_state))


def _check_room(request: Request) -> None:
    """Raises: Unavailable, when as many readers are attached as may be."""
    most = request.app.ctx.settings.max_readers
    if 0 < most <= len(request.app.ctx.open_streams):
        raise Unavailable(f"{most} readers are attached to this worker.", retry_after_s=_RETRY_S)


def _headers(offset: int) -> dict[str, str]:
    return {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        # nginx passes the stream on as it comes.
        "X-Accel-Buffering": "no",
        # Where this response begins: what a negative offset came to.
        "Jobrunner-Offset": str(offset),
    }


def _negotiated(request: Request) -> Format:
    """The format that is preferred, the first one among equals. Raises: NotAcceptable."""
    if "accept" not in request.headers:
        return FORMATS[0]
    wishes = {found: _wish(request, found.media_type) for found in FORMATS}
    wanted = max(FORMATS, key=wishes.__getitem__)
    if not wishes[wanted]:
        given = request.headers["accept"][:80]
        *others, last = (found.media_type for found in FORMATS)
        offered = f"{', '.join(others)} or {last}"
        raise NotAcceptable(f"Output comes as {offered}, got 'Accept: {given}'.")
    return wanted


def _wish(request: Request, mime: str) -> float:
    """From 0 (never) to 1: what the most specific range that covers `mime` says.

    Source: RFC 9110, section 12.5.1.
    """
    ranges = [r for r in request.accept if r.match(mime)]
    if not ranges:
        return 0.0
    return float(max(ranges, key=lambda r: (r.type != "*", r.subtype != "*", len(r.params))).q)
