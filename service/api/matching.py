"""The answer to a search: the lines that match, as they are found, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

import msgspec
import structlog

from service.api.attach import headers_from
from service.api.negotiation import Negotiated
from service.engine.stored_output import StoredOutput
from service.errors import JobrunnerError, OutputDropped
from service.output.formats.encoder import Encoder
from service.output.offsets import checked_offset
from service.output.search.pool import RunningSearch
from service.output.search.request import FoundGap, Grep, Part, SearchRequest
from service.output.selection import Selection
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.waiting_reader import counted

_log = structlog.get_logger("jobrunner.api")

_NOTHING: Final = Part(found=(), is_last=True, count=0, offset=0, end=0)


class Wanted(msgspec.Struct, frozen=True):
    """Lines of the output of a job. `is_relative`: of another part of it a moment later."""

    job_id: str
    selection: Selection
    grep: Grep
    is_relative: bool


def head_of_part(end: int, *, is_constant: bool) -> dict[str, str]:
    """Header fields of a part of the output that ends there, or of one that was rewritten.
    `is_constant`: the same request always has the same answer.
    """
    return {
        "Cache-Control": "private, immutable" if is_constant else "no-store",
        "Vary": "Accept",
        "Accept-Ranges": "none",
        "Jobrunner-Next": str(end),
    }


async def send_lines(
    request: Request, wanted: Negotiated, encoder: Encoder, stored: StoredOutput, what: Wanted
) -> None:
    """Send them; the search ends with the request.

    Raises: OffsetBeyondEnd, OffsetInGap, Unavailable; CorruptLog, before the response begins.
    """
    gap = None if encoder.marks_gaps else stored.gap
    is_constant = stored.is_finished and not what.is_relative
    begin = checked_offset(what.selection.offset, stored.size, gap)
    async with AsyncExitStack() as stack:
        search, part = None, _NOTHING
        if stored.descriptor is not None:
            asked = _request(request, encoder, stored, what, begin)
            with counted(request, wanted.format.name):  # others may be searched before
                search = await stack.enter_async_context(
                    request.app.ctx.engine.outputs.searches.search(asked)
                )
                part = await search.next()
        head = head_of_part(part.end, is_constant=is_constant)
        response = StreamingResponse(
            request,
            headers_from(begin) | head,
            wanted.content_type,
            None,
            format_name=wanted.format.name,
        )
        try:
            async with response:
                if request.method != "HEAD":
                    await _copy(search, part, encoder, response, what.grep)
        except (StreamAborted, JobrunnerError, OSError) as exc:
            _log.info("stream_cut", job=what.job_id, offset=begin, why=str(exc))


def _request(
    request: Request, encoder: Encoder, stored: StoredOutput, what: Wanted, begin: int
) -> SearchRequest:
    return SearchRequest(
        directory=str(request.app.ctx.engine.jobs.files(what.job_id).log),
        selection=what.selection,
        begin=begin,
        end=stored.size,
        grep=what.grep,
        marks_gaps=encoder.marks_gaps,
        attributes=encoder.needs_attribution,
        counts=encoder.tells_matches,
    )


async def _copy(
    search: RunningSearch | None, part: Part, encoder: Encoder, sink: StreamingResponse, grep: Grep
) -> None:
    has_context = grep.context > 0
    await sink.write(encoder.head())
    while True:
        await sink.write(b"".join(_encoded(part, encoder, has_context=has_context)))
        if part.is_last or search is None:
            break
        part = await search.next()
    if part.dropped_until is not None:
        await sink.flush()
        raise OutputDropped(part.offset, part.dropped_until)
    await sink.write(encoder.matches(part.count, part.offset))


def _encoded(part: Part, encoder: Encoder, *, has_context: bool) -> Iterator[bytes]:
    for each in part.found:
        if isinstance(each, FoundGap):
            yield encoder.gap(*each)
        elif has_context:
            yield encoder.line(each)
        else:
            yield encoder.line(each._replace(follows=True))
