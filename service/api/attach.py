"""`GET /<ID>/attach`: the output from any offset, then live until the job ends.

Where bytes were dropped (`OutputLimit`), what lies before them is sent and the stream is cut, so
that nobody takes what comes for what was there; or a line for people stands at the place.
"""

from __future__ import annotations

from typing import Final

import structlog
from sanic import Blueprint, HTTPResponse, Request

from service.api.callers import audit, check_sees
from service.api.problems import ERROR_FORMAT
from service.api.queries import attach_query
from service.engine.engine import Engine
from service.engine.job_subscription import JobSubscription
from service.errors import JobrunnerError, NotAcceptable, Unavailable
from service.output.formats.format import Format
from service.output.formats.registry import FORMATS
from service.web.fd_reserve import refuse_in_reserve
from service.web.open_streams import OpenStreams
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import UnlimitedAnswerTime

attach = Blueprint("attach")

# Seconds after which a reader may come again when all places are taken.
_RETRY_S: Final = 5

_log = structlog.get_logger("jobrunner.api")


@attach.route(
    "/<job_id:str>/attach", methods=["GET", "HEAD"], name="attach", error_format=ERROR_FORMAT
)
async def attach_to_job(request: Request, job_id: str) -> HTTPResponse | None:
    """Stream the output; None, as it is sent when this returns.

    Raises: UnknownJob, BadQuery, NotAcceptable, OffsetBeyondEnd, OffsetInGap, Unavailable,
        InsufficientStorage; CorruptLog, when there is less than the record tells of; all before the
        response begins.
    """
    offset, stream, follow, marked = attach_query(request.query_string)
    wanted = _negotiated(request)
    engine: Engine = request.app.ctx.engine
    check_sees(request, job_id)
    _check_room(request)
    audit(request, "attach", job_id)
    output = engine.follow(
        job_id,
        wanted.encoder(marks_gaps=marked),
        offset=offset,
        stream=stream,
        follow=follow,
    )
    async with output:
        if output.descriptor is not None:
            refuse_in_reserve(output.descriptor)
        with UnlimitedAnswerTime(request):
            await _stream(request, job_id, output, wanted.content_type)
    return None


async def _stream(
    request: Request, job_id: str, output: JobSubscription, content_type: str
) -> None:
    response = StreamingResponse(request, _headers(output.offset), content_type, output.length)
    try:
        async with response:
            if request.method != "HEAD":
                await output.copy_to(response)
    except (StreamAborted, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, offset=output.offset, why=str(exc))


def _check_room(request: Request) -> None:
    """Raises: Unavailable, when as many readers are attached as may be."""
    most = request.app.ctx.settings.max_readers
    streams: OpenStreams = request.app.ctx.open_streams
    if 0 < most <= len(streams):
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
