"""`GET /attach?…`: the output of all jobs of a selection, and of those that are submitted later."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import structlog
from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit
from service.api.forms import Form, Unfit
from service.api.negotiation import negotiated
from service.api.parameters import header, optional, query
from service.api.records import RECORDS, RECORDS_FORM, STREAM_HEADERS, framing, heartbeat
from service.api.room import check_room
from service.api.route import Route, Routes, Success, Tag
from service.api.selectors import Selectors
from service.engine.many_jobs import Cursor, ReaderOfMany
from service.engine.many_place import MAX_CHARS, InvalidPlace, Place, parse_place
from service.engine.many_selection import JoiningJobs
from service.errors import BadHeader, BadQuery, JobrunnerError, NotAcceptable
from service.jobs.states import State
from service.output.formats.format import Format
from service.output.formats.job_records import JobRecords
from service.store import Selection
from service.web.context import Context
from service.web.fd_reserve import Cost, refuse_in_reserve
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import no_response_timeout

routes: Final = Routes()

_EXPECTED: Final = "a Cursor that a record of this stream had"
_log = structlog.get_logger("jobrunner.api")


def _place(text: str) -> Place:
    try:
        return parse_place(text)
    except InvalidPlace as exc:
        raise Unfit(text) from exc


_CURSOR: Final = Form(
    _place, _EXPECTED, {"type": "string", "pattern": "^AQ[A-Za-z0-9_-]+$", "maxLength": MAX_CHARS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachMany(Selectors):
    after: Place | None = optional(
        _CURSOR, "The `Cursor` of the last record that came: all jobs go on behind it."
    )
    follow: bool = query(
        forms.flag(), "Whether to go on with what comes, and with jobs that come.", default=True
    )
    lines: bool = query(
        forms.flag(), "A record for each line, with `Partial` where it has no end.", default=False
    )
    format: Format | None = optional(
        RECORDS_FORM, "The format; it wins over the header `Accept`, which says the same."
    )
    last_event_id: Place | None = header(
        _CURSOR,
        "The same as `after`, and wins over it: an `EventSource` sends it when it connects again.",
        name="Last-Event-ID",
    )


@routes.add(
    Route(
        method="GET",
        path="/attach",
        operation="attach_many",
        meaning="The output of all jobs that are selected, and of those that come, in one stream.",
        parameters=AttachMany,
        tag=Tag.OUTPUT,
        details=(
            "Jobs join when they start, and leave with an `end` record; the stream goes on. Without"
            " `after` it begins with the jobs that are selected now, each from its first byte."
            " `state` says in which states jobs join: `running` is at their start, the others at"
            " their end. Records have `Job` and `Cursor`. Without `follow` the last one is a"
            " heartbeat: all has come."
        ),
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(
                200,
                "Records, until the client closes the connection; without `follow` to the present"
                " end. An answer that is followed never ends cleanly.",
                content=tuple(mime for found in RECORDS for mime in found.media_types),
            ),
        ),
        problems=(BadQuery, BadHeader, NotAcceptable),
    )
)
async def attach_many(request: Request, given: AttachMany) -> HTTPResponse | None:
    """Stream the output; None, as it is sent when this returns.

    Raises: BadQuery, BadHeader, NotAcceptable, Unavailable, all before the response begins.
    """
    ctx = request.app.ctx
    wanted = negotiated(request, given.format, RECORDS)
    after = given.last_event_id or given.after
    at = after.at if after is not None and after.at else time.time_ns()
    joining = JoiningJobs(_selection(given, at), repr((given.since, given.until)))
    place = _new_place(ctx, given, at, joining) if after is None else after
    if after is not None:
        _check(ctx, given, after, joining)
    check_room(request)
    frame = framing(wanted.format)

    def encoder(job_id: str, cursor: Cursor) -> JobRecords:
        return JobRecords(frame, job_id, cursor, lines=given.lines)

    reader = ReaderOfMany(
        wanted=joining,
        visible=request.principal.visibility,
        encoder=encoder,
        head=frame.head(),
        heartbeat=lambda cursor, now: heartbeat(frame, {"Cursor": cursor}, now),
        has_room=refuse_in_reserve,
        on_join=lambda job_id: audit(request, "attach", job_id),
    )
    output = ctx.engine.outputs.follow_many(reader, place, follow=given.follow)
    if after is None:
        output.begin()
    response = StreamingResponse(
        request,
        dict(STREAM_HEADERS),
        wanted.content_type,
        None,
        format_name=wanted.format.name,
    )
    with no_response_timeout(request):
        try:
            async with response:
                if request.method != "HEAD":
                    await output.copy_to(response)
        except (StreamAborted, JobrunnerError, OSError) as exc:
            _log.info("stream_cut", after=output.cursor, why=str(exc))
    return None


def _selection(given: AttachMany, at: int) -> Selection:
    """Raises: BadQuery."""
    selection = given.selection(at)
    if State.PENDING in selection.states and State.RUNNING not in selection.states:
        raise BadQuery(
            "The query parameter 'state': expected all, or any of running, exited, killed, with or"
            " without pending; got pending without running: a pending job has no output, and joins"
            " as a running one."
        )
    return selection


def _new_place(ctx: Context, given: AttachMany, at: int, joining: JoiningJobs) -> Place:
    is_relative = any(m is not None and m.is_back for m in (given.since, given.until))
    origin = ctx.store.changes.origin()
    return Place(origin, joining.checksum(), at if is_relative else 0, 0)


def _check(ctx: Context, given: AttachMany, after: Place, joining: JoiningJobs) -> None:
    """Raises: BadQuery, BadHeader."""
    changes = ctx.store.changes
    if after.origin != changes.origin():
        got = "one of other records (another state directory)"
    elif after.selection != joining.checksum():
        got = "one of a stream with other selectors"
    elif after.seq > changes.last():
        got = "one that is ahead of these records, which may have been restored from a backup"
    else:
        return
    if given.last_event_id is not None:
        raise BadHeader(f"Last-Event-ID: expected {_EXPECTED}, got {got}.")
    raise BadQuery(f"The query parameter 'after': expected {_EXPECTED}, got {got}.")
