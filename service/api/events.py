"""`GET /events`: the changes of jobs, each as the view of its job, then those that come.

No history is kept: of each job there is its last change, and of a cleaned one its tombstone. So a
consumer that comes back after days gets each job's latest state once, in the order of the changes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from msgspec import json
from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit
from service.api.job_view import job_view
from service.api.negotiation import negotiated
from service.api.parameters import header, optional, query
from service.api.records import RECORDS, RECORDS_FORM, STREAM_HEADERS, framing, heartbeat
from service.api.room import check_room
from service.api.route import Route, Routes, Success, Tag
from service.engine.change_feed import ChangeFeed, Step, Told
from service.engine.engine import Engine
from service.errors import BadHeader, BadQuery, JobrunnerError, NotAcceptable
from service.jobs.visibility import Visibility
from service.output.formats.format import Format
from service.output.formats.records import RecordEncoder
from service.settings import Settings
from service.web.fd_reserve import Cost
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import no_response_timeout

routes: Final = Routes()

_MAX_SEQ: Final = 2**63 - 1
# Views that are made in the event loop: to wake a thread takes longer than to read one index.
_FEW: Final = 4

_log = structlog.get_logger("jobrunner.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    after: int = query(
        forms.integer(0, _MAX_SEQ),
        "The `Seq` of the last change that is known: those behind it are told.",
        default=0,
    )
    follow: bool = query(
        forms.flag(), "Whether to go on with the changes that come.", default=False
    )
    format: Format | None = optional(
        RECORDS_FORM, "The format; it wins over the header `Accept`, which says the same."
    )
    last_event_id: int | None = header(
        forms.integer(0, _MAX_SEQ),
        "The same as `after`, and wins over it: an `EventSource` sends it when it connects again.",
        name="Last-Event-ID",
    )


@routes.add(
    Route(
        method="GET",
        path="/events",
        operation="events",
        meaning="The changes of jobs: of each job its latest state once, in the order of changes.",
        parameters=Events,
        details=(
            "Each is the view of the job with `Seq`, the number of the change. Of a job that was"
            ' cleaned it is `{"Seq", "ID", "Cleaned": true}`, told for a week. What a job uses'
            " while it runs is no change. Numbers only grow; not each is given to a job of the"
            " caller."
        ),
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(
                200,
                "The changes. An answer that ends cleanly has all that there were.",
                content=tuple(mime for found in RECORDS for mime in found.media_types),
            ),
            Success(
                204,
                "Nothing is behind the `Last-Event-ID`, and nothing is followed: an `EventSource`"
                " stops.",
                content=(),
            ),
        ),
        problems=(BadQuery, BadHeader, NotAcceptable),
        tag=Tag.JOBS,
    )
)
async def events(request: Request, given: Events) -> HTTPResponse | None:
    """Stream the changes; None, as they are sent when this returns.

    Raises: BadQuery, BadHeader, NotAcceptable, Unavailable, all before the response begins.
    """
    ctx, visible = request.app.ctx, request.principal.visibility
    feed = ctx.engine.jobs.feed
    wanted = negotiated(request, given.format, RECORDS)
    after = _checked(given, feed.last())
    check_room(request)
    if given.last_event_id is not None and not given.follow and await _is_end(feed, after, visible):
        return HTTPResponse(status=204)
    audit(request, "follow", None)
    response = StreamingResponse(
        request, dict(STREAM_HEADERS), wanted.content_type, None, format_name=wanted.format.name
    )
    told = _Stream(ctx.engine, visible, framing(wanted.format), ctx.settings, response, after)
    with feed.following(), no_response_timeout(request):
        try:
            async with response:
                if request.method != "HEAD":
                    await told.run(follow=given.follow)
        except (StreamAborted, JobrunnerError, OSError) as exc:
            _log.info("stream_cut", after=told.after, why=str(exc))
    return None


def _checked(given: Events, last: int) -> int:
    """Behind which change to begin."""
    expected = f"a whole number from 0 to {last}, which is the last change of these records"
    if given.last_event_id is not None:
        if given.last_event_id > last:
            raise BadHeader(f"Last-Event-ID: expected {expected}, got {given.last_event_id}.")
        return given.last_event_id
    if given.after > last:
        raise BadQuery(f"The query parameter 'after': expected {expected}, got {given.after}.")
    return given.after


async def _is_end(feed: ChangeFeed, after: int, visible: Visibility) -> bool:
    step = feed.read_stored(after, visible)
    while not step.found and not step.is_last:
        await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
        step = feed.read_stored(step.until, visible)
    return not step.found


class _Stream:
    """One reader of changes; `after` is the last that it was told, or that isn't for it."""

    def __init__(
        self,
        engine: Engine,
        visible: Visibility,
        encoder: RecordEncoder,
        settings: Settings,
        response: StreamingResponse,
        after: int,
    ) -> None:
        self._feed = engine.jobs.feed
        self._keep_alive = engine.outputs.keep_alive
        self._visible = visible
        self._encoder = encoder
        self._settings = settings
        self._response = response
        self.after = after

    async def run(self, *, follow: bool) -> None:
        """Write all that there is, then, with `follow`, what comes.

        Raises: StreamAborted; Unavailable, when this worker stops.
        """
        await self._write(self._encoder.head())
        while True:
            step = await self._tell(self._feed.read_stored(self.after, self._visible))
            if step.is_last:
                break
            await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
        while follow:
            with self._keep_alive.during(self._beat):
                await self._feed.wait(self.after)
            await self._tell(self._feed.read(self.after, self._visible))

    def _beat(self, time_ns: int) -> None:
        self._response.try_write(heartbeat(self._encoder, {"Seq": self.after}, time_ns))

    async def _tell(self, step: Step) -> Step:
        fresh = [told for told in step.found if told.body is None]
        if len(fresh) > _FEW:
            await asyncio.to_thread(_render, fresh, self._settings)
        else:
            _render(fresh, self._settings)
        wire = [
            self._encoder.frame("change", told.body or b"", f"{told.seq}") for told in step.found
        ]
        await self._write(b"".join(wire))
        self.after = step.until
        return step

    async def _write(self, data: bytes) -> None:
        if data:
            await self._response.write(data)


def _render(changes: list[Told], settings: Settings) -> None:
    """Make the JSON of each, once for all who are told of it."""
    for told in changes:
        change = told.change
        if change.record is None:
            told.body = json.encode({"Seq": change.seq, "ID": change.id, "Cleaned": True})
        else:
            view = json.encode(job_view(change.record, settings))
            told.body = b'{"Seq":%d,%b' % (change.seq, view[1:])
