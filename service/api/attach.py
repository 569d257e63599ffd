"""`GET /<ID>/attach`: the output from any offset, then live until the job ends.

Where bytes were dropped (`OutputLimit`), a line for people stands at the place; or what lies before
them is sent and the stream is cut, so that no program takes what comes for what was there.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import structlog
from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit, check_sees
from service.api.end_fields import FIELDS, as_fields
from service.api.negotiation import MEDIA_TYPES, Negotiated
from service.api.output_answer import etag_of
from service.api.parameters import header, query
from service.api.ranges import FOLLOWING, RANGE, ByteRange, check_begin
from service.api.reading import Reading, encoder_of, has_all, in_format, resumed
from service.api.room import check_room
from service.api.route import Route, Routes, Success, Tag
from service.api.selecting import AGREEMENT, selection_of
from service.engine.end_record import end_record, known_digest
from service.engine.job_subscription import JobSubscription
from service.errors import (
    BadHeader,
    BadQuery,
    InsufficientStorage,
    JobrunnerError,
    NotAcceptable,
    OffsetBeyondEnd,
    OffsetInGap,
    UnknownJob,
)
from service.jobs.states import FINISHED
from service.output.formats import plain_text
from service.output.formats.format import Format
from service.output.index import LogState
from service.output.selection import Selection
from service.web.fd_reserve import Cost, refuse_in_reserve
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import no_response_timeout

routes: Final = Routes()

# The offset behind the last byte of a response.
NEXT: Final = "Jobrunner-Next"

# Seconds for a reader of events to close the connection after the end, before it is closed here,
# which it takes for a reason to connect again.
_LINGER_S: Final = 5.0

_log = structlog.get_logger("jobrunner.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach(Reading):
    follow: bool = query(forms.flag(), "Whether to go on until the job ends.", default=True)
    byte_range: ByteRange | None = header(
        RANGE,
        f"`bytes=N-{FOLLOWING}`: from byte N on, and live (RFC 8673), not with an `offset`. Any"
        " other is ignored.",
        name="Range",
        is_joined=True,
    )
    if_range: str | None = header(
        forms.text(), "The `ETag` of `output` with which the range is meant.", name="If-Range"
    )

    def followed_from(self, wanted: Format, selection: Selection) -> int | None:
        """Where a range begins that is to be followed; None: no such range is asked for, or not of
        the bytes as they are stored.

        Raises: BadQuery.
        """
        if self.byte_range is None or not self.byte_range.follows or not self.follow:
            return None
        check_begin(self.offset, self.byte_range)
        is_changed = selection.seeks or self.timestamps or self.marks_gaps
        if wanted not in plain_text.FORMATS or is_changed or not selection.is_range:
            return None
        is_meant = self.if_range in (None, etag_of(self.job_id, self.stream))
        return self.byte_range.first if is_meant else None


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
            " for again from the first byte that is missing. Of `application/x-ndjson` each line is"
            " a JSON object with a `Type`: `output` (`Offset`, `End`, `Stream`, `Command`, `Time`,"
            " and `Text`, or `Data` in base64 where it isn't UTF-8; with `lines` `Partial` where a"
            " line isn't complete), `gap` (`From`, `To`), `heartbeat` (`Offset`, `Time`; every 15"
            " seconds) and last `end`: `State`, `Reason`, `ExitCode`, `Signal`, `Bytes`, `Stdout`,"
            " `Stderr`, `SHA256`. Of `text/event-stream` each is the data of an event of that"
            " name, without the `Type`; the event's ID is the offset behind it, and a heartbeat is"
            " a comment. What was cut continues at the last `End`, or by `Last-Event-ID`."
        ),
        agreement=AGREEMENT,
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(
                200,
                "The output. An answer that ends cleanly is whole; else it is cut.",
                content=MEDIA_TYPES,
                headers=("Jobrunner-Offset", *FIELDS),
            ),
            Success(
                206,
                "The range, live.",
                content=tuple(mime for found in plain_text.FORMATS for mime in found.media_types),
                headers=("Content-Range", "ETag", "Jobrunner-Offset", *FIELDS),
            ),
            Success(
                204, "The reader has had the event `end`: it need not connect again.", content=()
            ),
        ),
        problems=(
            BadQuery,
            BadHeader,
            UnknownJob,
            NotAcceptable,
            OffsetBeyondEnd,
            OffsetInGap,
            InsufficientStorage,
        ),
    )
)
async def attach(request: Request, given: Attach) -> HTTPResponse | None:
    """Stream the output; None, as it is then sent when this returns.

    Raises: UnknownJob, NotAcceptable, OffsetBeyondEnd, OffsetInGap, Unavailable,
        InsufficientStorage; CorruptLog, when there is less than the record tells of; all before the
        response begins.
    """
    ctx, job_id = request.app.ctx, given.job_id
    wanted = in_format(request, given)
    check_sees(request, job_id)
    # Asked first: an unknown job is neither refused for want of room nor audited.
    state = ctx.engine.jobs.state(job_id)
    if has_all(wanted.format, given) and (state in FINISHED or not given.follow):
        return HTTPResponse(status=204)
    given = resumed(wanted.format, given)
    check_room(request)
    audit(request, "attach", job_id)
    selection = selection_for(request, given)
    first = None if request.method != "GET" else given.followed_from(wanted.format, selection)
    with no_response_timeout(request):
        if first is not None:
            return await _stream_range(request, given, wanted, first)
        await _stream(request, given, wanted, selection)
    return None


async def _stream(
    request: Request, given: Attach, wanted: Negotiated, selection: Selection
) -> None:
    output = request.app.ctx.engine.outputs.follow(
        given.job_id,
        encoder_of(wanted.format, given),
        offset=given.offset,
        stream=given.stream,
        follow=given.follow,
        selection=selection,
    )
    async with output:
        if output.descriptor is not None:
            refuse_in_reserve(output.descriptor)
        more = {} if output.end is None else {NEXT: str(output.end)}
        await stream_output(request, given.job_id, output, wanted, more, lingers=True)


async def _stream_range(
    request: Request, given: Attach, wanted: Negotiated, begin: int
) -> HTTPResponse | None:
    """From byte `begin` on, or from the end of the gap that it is in."""
    first = begin
    async with AsyncExitStack() as opened:
        try:
            output = await opened.enter_async_context(_subscription(request, given, wanted, first))
        except OffsetInGap as exc:
            first = exc.gap[1]
            output = await opened.enter_async_context(_subscription(request, given, wanted, first))
        except OffsetBeyondEnd as exc:
            return _unsatisfied(exc.end, wanted)
        size = output.log_state.size(given.stream)
        if output.is_finished and first == size:
            if begin == size:
                return _unsatisfied(size, wanted)
            # All behind was dropped: no range, and no 416 either, which is taken for complete.
            await _stream(request, given, wanted, Selection(stream=given.stream))
            return None
        last = f"{size - 1}/{size}" if output.is_finished else f"{FOLLOWING}/*"
        more = {
            "Content-Range": f"bytes {first}-{last}",
            "ETag": etag_of(given.job_id, given.stream),
        }
        if output.descriptor is not None:
            refuse_in_reserve(output.descriptor)
        await stream_output(
            request, given.job_id, output, wanted, more, status=206, has_length=first == begin
        )
    return None


def selection_for(request: Request, given: Reading) -> Selection:
    """Which part is asked for. Raises: BadQuery; UnknownJob, Unavailable."""
    commands = 0
    if given.command is not None:
        commands = len(request.app.ctx.engine.jobs.show(given.job_id).commands)
    return selection_of(given, offset=given.offset, stream=given.stream, commands=commands)


def _subscription(
    request: Request, given: Attach, wanted: Negotiated, offset: int
) -> JobSubscription:
    encoder = wanted.format.encoder(stream=given.stream, marks_gaps=False)
    return request.app.ctx.engine.outputs.follow(
        given.job_id, encoder, offset=offset, stream=given.stream, follow=True
    )


def _unsatisfied(size: int, wanted: Negotiated) -> HTTPResponse:
    headers = {"Content-Range": f"bytes */{size}"}
    return HTTPResponse(status=416, headers=headers, content_type=wanted.content_type)


async def stream_output(
    request: Request,
    job_id: str,
    output: JobSubscription,
    wanted: Negotiated,
    more: dict[str, str] | None = None,
    *,
    status: int = 200,
    lingers: bool = False,
    has_length: bool = True,
) -> None:
    """Send what comes, with `more` headers; what can't be sent to its end is cut. `lingers`: a
    reader of events has some time to close the connection itself; `has_length`: there is a
    Content-Length, if it is known.
    """
    headers = headers_from(output.offset) | (more or {})
    if output.is_finished:
        headers |= end_fields(request, job_id, output.log_state)
    response = StreamingResponse(
        request,
        headers,
        wanted.content_type,
        output.length if has_length else None,
        status=status,
        announced=(*FIELDS, NEXT),
        format_name=wanted.format.name,
    )
    try:
        async with response:
            if request.method != "HEAD":
                await output.copy_to(response, tells_end=response.takes_trailers)
                if lingers and wanted.format.has_event_ids:
                    await response.linger(_LINGER_S)
            if response.takes_trailers and output.end_record is not None:
                response.trailers = as_fields(output.end_record) | {NEXT: str(output.offset)}
    except (StreamAborted, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, offset=output.offset, why=str(exc))


def end_fields(request: Request, job_id: str, log: LogState) -> dict[str, str]:
    """How a finished job ended, with what is known without reading its log.

    Raises: UnknownJob, when it was cleaned; Unavailable.
    """
    engine = request.app.ctx.engine
    known = known_digest(engine.jobs.files(job_id), log)
    return as_fields(end_record(engine.jobs.show(job_id), log, known))


def headers_from(offset: int) -> dict[str, str]:
    """Of output from `offset` on."""
    return {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        # nginx passes the stream on as it comes.
        "X-Accel-Buffering": "no",
        # Where this response begins: what a negative offset came to.
        "Jobrunner-Offset": str(offset),
    }
