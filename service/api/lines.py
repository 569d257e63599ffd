"""`GET /<ID>/lines`: lines of the output around a place, for viewers of a log of any size."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.agreement import Agreement, Contradiction
from service.api.callers import audit, check_sees
from service.api.parameters import OfJob, optional, query
from service.api.reading import MAX_OFFSET
from service.api.responses import json_response
from service.api.room import check_room
from service.api.route import Route, Routes, Success, Tag
from service.errors import BadQuery, InsufficientStorage, OffsetBeyondEnd, UnknownJob
from service.jobs.views import LinesView, LineView
from service.output.formats.times import rfc3339_ns
from service.output.index import STDERR, STDOUT
from service.output.lines.window import LineWindow, ShownLine, Wanted
from service.output.offsets import checked_offset
from service.web.fd_reserve import Cost, refuse_in_reserve
from service.web.request import Request
from service.web.timeouts import no_response_timeout

routes: Final = Routes()

# In either direction; their text is bounded, too.
_MAX_LINES: Final = 1000
_DEFAULT_AFTER: Final = 100
# Seconds: less than proxies and clients wait for.
_MAX_WAIT_S: Final = 60

_AGREEMENT: Final = Agreement(
    contradictions=(Contradiction("at", "from", "both say where to look"),),
)


# Seconds within which somebody who looks through a log stands in the audit log once: a viewer that
# follows it asks ten times a second.
_LOOK_S: Final = 60.0
_MAX_LOOKS: Final = 10_000


class _Reads:
    """Who has begun to look at what, of one worker."""

    def __init__(self) -> None:
        self._since: dict[tuple[str | None, ...], float] = {}

    def is_new(self, who: tuple[str | None, ...]) -> bool:
        now = time.monotonic()
        if now - self._since.get(who, -_LOOK_S) < _LOOK_S:
            return False
        if len(self._since) >= _MAX_LOOKS:
            self._since.clear()
        self._since[who] = now
        return True


_reads: Final = _Reads()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines(OfJob):
    at: int | None = optional(
        forms.integer(-MAX_OFFSET, MAX_OFFSET),
        "The offset of any byte of the line; a negative one counts from the present end. When"
        " neither this nor `from` is given: 0.",
    )
    line: int | None = optional(
        forms.integer(-MAX_OFFSET, MAX_OFFSET),
        "The number of the line, from 1; a negative one counts from the present end, -1 is the"
        " last.",
        name="from",
    )
    before: int = query(forms.integer(0, _MAX_LINES), "Lines before it.", default=0)
    after: int = query(forms.integer(0, _MAX_LINES), "Lines behind it.", default=_DEFAULT_AFTER)
    stream: int | None = optional(
        forms.one_of({"stdout": STDOUT, "stderr": STDERR}),
        "Only lines that begin with a byte of this one; offsets and numbers stay those of the"
        " whole.",
    )
    wait_s: float | None = optional(
        forms.seconds(_MAX_WAIT_S),
        "Seconds to wait until the lines are numbered. When not given, 0 for a place, and"
        f" {_MAX_WAIT_S} for a number.",
        name="wait",
    )


@routes.add(
    Route(
        method="GET",
        path="/{ID}/lines",
        operation="lines",
        meaning="Lines of the output around an offset, or around the line with a number.",
        parameters=Lines,
        tag=Tag.OUTPUT,
        details=(
            "Numbers and colours come from an index, which is made when lines are asked for, and"
            " kept. A line of more than 64 KiB comes in pieces. An answer has at most 1 MiB of"
            " text, and then fewer lines than were asked for; others follow at `End`."
        ),
        agreement=_AGREEMENT,
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(Success(200, "The lines, in their order.", LinesView),),
        problems=(BadQuery, UnknownJob, OffsetBeyondEnd, InsufficientStorage),
    )
)
async def lines(request: Request, given: Lines) -> HTTPResponse:
    """Raises: UnknownJob, OffsetBeyondEnd, BadQuery, Unavailable, InsufficientStorage."""
    _AGREEMENT.check(request.get_args(keep_blank_values=True))
    if given.line == 0:
        raise BadQuery("The query parameter 'from': expected a number of a line, from 1, got '0'.")
    ctx, job_id = request.app.ctx, given.job_id
    check_sees(request, job_id)
    ctx.engine.jobs.state(job_id)
    check_room(request)
    if _reads.is_new((request.principal.name, request.principal.token, job_id)):
        audit(request, "output", job_id)
    async with ctx.engine.outputs.stored_output(job_id, stream=None) as stored:
        if stored.descriptor is not None:
            refuse_in_reserve(stored.descriptor)
        at = None if given.line is not None else checked_offset(given.at or 0, stored.size, None)
        wait_s = given.wait_s if given.wait_s is not None else 0 if at is not None else _MAX_WAIT_S
        wanted = Wanted(at, given.line, given.before, given.after, given.stream)
        with no_response_timeout(request):
            found = await stored.lines(wanted, wait_s)
        is_finished = stored.is_finished
    return json_response(_view(found, is_finished=is_finished))


def _view(found: LineWindow, *, is_finished: bool) -> LinesView:
    gap = found.state.gap.of(None)
    return LinesView(
        lines=[_line(each) for each in found.lines],
        total=found.total,
        begin=found.begin,
        end=found.end,
        size=found.state.end,
        indexed=found.indexed,
        sgr=found.style,
        gap=gap if gap[1] else None,
        finished=is_finished,
    )


def _line(shown: ShownLine) -> LineView:
    data = shown.data.removesuffix(b"\n")
    found: dict[str, str | bytes | bool] = {}
    try:
        found["text"] = data.decode()
    except UnicodeDecodeError:
        found["data"] = data
    if len(data) == len(shown.data):
        found["partial"] = True
    return LineView(
        line=shown.number,
        offset=shown.offset,
        end=shown.end,
        time=rfc3339_ns(shown.record.time_ns),
        stream="stdout" if shown.record.stream == STDOUT else "stderr",
        command=shown.record.command,
        **found,  # type: ignore[arg-type]
    )
