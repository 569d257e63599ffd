"""`GET /<ID>/output`: what there is of the output now, in whole, in ranges, or by long polls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.attach import end_fields, headers_from, selection_for, stream_output
from service.api.callers import audit, check_sees
from service.api.end_fields import FIELDS
from service.api.matching import Wanted, head_of_part, send_lines
from service.api.negotiation import MEDIA_TYPES, Negotiated
from service.api.output_answer import Answer, Selection, Stored, Whole, etag_of
from service.api.parameters import header, optional
from service.api.ranges import RANGE, ByteRange, check_begin
from service.api.reading import Reading, contradiction, encoder_of, has_all, in_format, resumed
from service.api.room import check_room
from service.api.route import Route, Routes, Success, Tag
from service.api.selecting import AGREEMENT, Searching, grep_of
from service.engine.stored_output import StoredOutput
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
from service.output.formats import plain_text
from service.output.offsets import checked_offset
from service.output.selection import Selection as PartOfOutput
from service.web.fd_reserve import Cost, refuse_in_reserve
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import no_response_timeout
from service.web.waiting_reader import counted

routes: Final = Routes()

# Seconds that a long poll may take: less than proxies and clients wait for.
_MAX_WAIT_S: Final = 60
# The same for a range that begins at the end of what there is.
_RANGE_WAIT_S: Final = 20.0
_HEADERS: Final = (
    "Accept-Ranges",
    "Cache-Control",
    "ETag",
    "Jobrunner-Elided",
    "Jobrunner-Next",
    "Jobrunner-Offset",
    *FIELDS,
)

_log = structlog.get_logger("jobrunner.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Reading, Searching):
    wait_s: float | None = optional(
        forms.seconds(_MAX_WAIT_S),
        "Seconds to wait for a byte where the answer would begin; the end of the job ends that,"
        f" too. When not given, {_RANGE_WAIT_S:g} for a range, else 0.",
        name="wait",
    )
    byte_range: ByteRange | None = header(
        RANGE,
        "`bytes=N-M`, `bytes=N-` or `bytes=-N`, the first of several; anything else is ignored."
        " Not with an `offset`, which says where to begin, too.",
        name="Range",
        is_joined=True,
    )
    if_range: str | None = header(
        forms.text(),
        "The `ETag` with which the range is meant; all is sent with another one.",
        name="If-Range",
    )
    if_none_match: str | None = header(
        forms.text(),
        "`ETag`s that the caller has; ignored while the job is live.",
        name="If-None-Match",
        is_joined=True,
    )


@routes.add(
    Route(
        method="GET",
        path="/{ID}/output",
        operation="output",
        meaning="The output as far as there is any now, or a range of it.",
        parameters=Output,
        tag=Tag.OUTPUT,
        details=(
            "`Jobrunner-Next` is the offset behind the last byte of the answer. A range begins"
            " there, or an `offset`, that is to have what comes next; `wait` makes it a long poll."
        ),
        agreement=AGREEMENT,
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(
                200,
                "The bytes as they came. An answer that ends cleanly is whole; else it is cut.",
                content=MEDIA_TYPES,
                headers=_HEADERS,
            ),
            Success(
                206,
                "The range, as far as there is any of it. It ends where bytes were dropped; one"
                " that begins there begins behind them.",
                content=tuple(mime for found in plain_text.FORMATS for mime in found.media_types),
                headers=("Content-Range", *_HEADERS),
            ),
            Success(
                204, "The reader has had the event `end`: it need not connect again.", content=()
            ),
            Success(304, "The job is finished, and the caller has its output.", content=()),
        ),
        problems=(
            BadHeader,
            BadQuery,
            UnknownJob,
            NotAcceptable,
            OffsetBeyondEnd,
            OffsetInGap,
            InsufficientStorage,
        ),
    )
)
async def output(request: Request, given: Output) -> HTTPResponse | None:
    """Send what there is; None, as it is sent when this returns.

    Raises: UnknownJob, NotAcceptable, OffsetBeyondEnd, OffsetInGap, BadQuery, Unavailable,
        InsufficientStorage; CorruptLog, when there is less than the record tells of; all before the
        response begins.
    """
    ctx, job_id = request.app.ctx, given.job_id
    wanted = in_format(request, given)
    grep = grep_of(given)
    if grep is not None and not wanted.format.has_lines:
        raise contradiction("grep", wanted.format, "a recording has all output")
    check_begin(given.offset, given.byte_range)
    check_sees(request, job_id)
    ctx.engine.jobs.state(job_id)  # an unknown job is neither refused for want of room nor audited
    if has_all(wanted.format, given):
        return HTTPResponse(status=204)
    given = resumed(wanted.format, given)
    check_room(request)
    audit(request, "output", job_id)
    async with ctx.engine.outputs.stored_output(job_id, stream=given.stream) as stored:
        if stored.descriptor is not None:
            refuse_in_reserve(stored.descriptor)
        with no_response_timeout(request):
            selection = selection_for(request, given)
            if grep is None:
                return await _respond(request, given, wanted, stored, selection)
            # The place first: what comes from now on isn't what comes after the others' searches,
            # and `Jobrunner-Offset` tells it.
            selection = await _settled(given, wanted, stored, selection)
            with counted(request, wanted.format.name):
                # Not here: it holds the interpreter, and so the event loop, as long as it takes.
                await ctx.engine.outputs.searches.check(grep)
            await _wait(request, given, wanted, stored, Selection(selection.offset))
            lines = Wanted(given.job_id, selection, grep, given.is_relative)
            await send_lines(request, wanted, encoder_of(wanted.format, given), stored, lines)
            return None


async def _respond(
    request: Request,
    given: Output,
    wanted: Negotiated,
    stored: StoredOutput,
    selection: PartOfOutput,
) -> HTTPResponse | None:
    is_part = selection.seeks or not selection.is_range
    is_changed = is_part or given.timestamps
    is_plain = wanted.format in plain_text.FORMATS and not is_changed
    marks = wanted.format.marks_gaps if given.marks_gaps is None else given.marks_gaps
    asked = _asked(request, given) if is_plain else Selection(given.offset)
    if is_part:
        if given.wait_s:  # where it begins stays the same while its caller waits for a byte there
            selection = await _settled(given, wanted, stored, selection)
        asked = Selection(selection.offset)
    await _wait(request, given, wanted, stored, asked)
    answer = asked.answer(Stored(stored.size, stored.gap, stored.is_finished))
    if not answer.has_body:
        return HTTPResponse(
            status=answer.status, headers=answer.headers, content_type=wanted.content_type
        )
    if not is_plain or (marks and answer.status == 200 and stored.gap[1] > answer.begin):
        await _send_encoded(request, given, wanted, selection)
    else:
        if given.byte_range is None:
            # Else not a byte of it could be sent, and the caller would come again for ever.
            checked_offset(answer.begin, stored.size, stored.gap)
        await _send(request, given, wanted, answer, stored)
    return None


def _asked(request: Request, given: Output) -> Whole | Selection:
    """What is asked for of the bytes as they are stored."""
    if given.offset or given.marks_gaps:
        return Selection(given.offset)
    return Whole(
        etag=etag_of(given.job_id, given.stream),
        wanted=given.byte_range if request.method == "GET" else None,  # of HEAD ranges mean nothing
        if_range=given.if_range,
        if_none_match=given.if_none_match,
    )


async def _wait(
    request: Request,
    given: Output,
    wanted: Negotiated,
    stored: StoredOutput,
    asked: Whole | Selection,
) -> None:
    is_range = isinstance(asked, Whole) and asked.range is not None
    default_s = _RANGE_WAIT_S if is_range else 0.0
    wait_s = default_s if given.wait_s is None else given.wait_s
    is_at_end = asked.begin(stored.size) == stored.size
    if wait_s and is_at_end and not stored.is_finished and request.method == "GET":
        with counted(request, wanted.format.name):
            await stored.wait_for_more(wait_s)


async def _settled(
    given: Output, wanted: Negotiated, stored: StoredOutput, selection: PartOfOutput
) -> PartOfOutput:
    """The part, with the place where it begins."""
    if not selection.seeks:
        return selection
    skips_gap = not encoder_of(wanted.format, given).marks_gaps
    return selection.resumed_at(await stored.begin_of(selection, skips_gap=skips_gap))


async def _send(
    request: Request, given: Output, wanted: Negotiated, answer: Answer, stored: StoredOutput
) -> None:
    """The bytes as they are stored."""
    headers = headers_from(answer.begin) | answer.headers | {"Jobrunner-Next": str(answer.end)}
    length: int | None = None if answer.skips else answer.end - answer.begin
    if stored.is_finished:
        headers |= end_fields(request, given.job_id, stored.log_state)
    elif request.method == "HEAD":
        length = None  # a GET that follows may have more
    response = StreamingResponse(
        request,
        headers,
        wanted.content_type,
        length,
        status=answer.status,
        format_name=wanted.format.name,
    )
    try:
        async with response:
            if request.method != "HEAD":
                await stored.copy_to(response, answer.begin, answer.end)
    except (StreamAborted, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=given.job_id, offset=answer.begin, why=str(exc))


async def _send_encoded(
    request: Request, given: Output, wanted: Negotiated, selection: PartOfOutput
) -> None:
    """What there is in another form than it is stored in."""
    subscribed = request.app.ctx.engine.outputs.follow(
        given.job_id,
        encoder_of(wanted.format, given),
        offset=selection.offset,
        stream=given.stream,
        follow=False,
        selection=selection,
    )
    async with subscribed:
        end = subscribed.log_state.size(given.stream) if subscribed.end is None else subscribed.end
        is_constant = subscribed.is_finished and not given.is_relative
        more = head_of_part(end, is_constant=is_constant)
        if subscribed.elided is not None:
            more["Jobrunner-Elided"] = "{}-{}".format(*subscribed.elided)
        await stream_output(request, given.job_id, subscribed, wanted, more)
