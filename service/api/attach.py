"""`GET /<ID>/attach`: the output from any offset, then live until the job ends."""

from __future__ import annotations

from typing import Final

import structlog
from sanic import Blueprint, HTTPResponse, Request

from service.api.chunks import ChunkedAnswer, StreamCut
from service.api.patience import unlimited_answer_time
from service.api.queries import attach_query
from service.engine.engine import Engine
from service.jobs.errors import JobrunnerError, NotAcceptable, OffsetBeyondEnd
from service.jobs.lifecycle import State
from service.output.errors import OutputError
from service.output.follow import Follower
from service.output.following import Following

attach = Blueprint("attach")

_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"

_log = structlog.get_logger("jobrunner.api")


@attach.route("/<job_id:str>/attach", methods=["GET", "HEAD"], name="attach")
async def attach_to_job(request: Request, job_id: str) -> HTTPResponse | None:
    """Stream the output; None when it was sent already.

    Raises: UnknownJob, BadQuery, NotAcceptable, OffsetBeyondEnd, Unavailable, all before the
        answer begins.
    """
    offset, stream, follow = attach_query(request.query_string)
    content_type = _content_type(request)
    engine: Engine = request.app.ctx.engine
    record = engine.show(job_id)
    follower: Follower = request.app.ctx.follower
    following = Following(follower, engine.directory(job_id), offset, stream, follow=follow)
    try:
        async with following:
            with unlimited_answer_time(request):
                await _send(request, engine, job_id, following, content_type)
        return None
    except FileNotFoundError:
        record = engine.show(job_id)  # it may have been cleaned just now
        # No command of it was started.
        if offset > 0:
            raise OffsetBeyondEnd(offset, 0) from None
    if record.state is not State.PENDING or not follow:
        return HTTPResponse(b"", content_type=content_type, headers=_headers(0))
    with unlimited_answer_time(request):
        await _wait_and_send(request, engine, job_id, stream, content_type)
    return None


async def _send(
    request: Request, engine: Engine, job_id: str, following: Following, content_type: str
) -> None:
    answer = ChunkedAnswer(request, _headers(following.offset), content_type, following.length)
    try:
        async with answer:
            if request.method == "HEAD":
                return
            await _pass_on(engine, job_id, following, answer)
    except (StreamCut, OutputError, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, offset=following.offset, why=str(exc))


async def _wait_and_send(
    request: Request, engine: Engine, job_id: str, stream: int | None, content_type: str
) -> None:
    """A pending job: the answer opens now, and its output follows."""
    follower: Follower = request.app.ctx.follower
    try:
        async with ChunkedAnswer(request, _headers(0), content_type, None) as answer:
            if request.method == "HEAD":
                return
            await engine.wait_started(job_id)
            try:
                async with Following(follower, engine.directory(job_id), 0, stream) as following:
                    await _pass_on(engine, job_id, following, answer)
            except FileNotFoundError:
                engine.show(job_id)  # it may have been cleaned just now
                _log.debug("no_output", job=job_id)  # it ended before its first command
    except (StreamCut, OutputError, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, why=str(exc))


async def _pass_on(
    engine: Engine, job_id: str, following: Following, answer: ChunkedAnswer
) -> None:
    async for chunk in following.chunks():
        await answer.write(chunk)
    if following.length is None:
        # Whoever saw the end of the output finds the job finished.
        await engine.wait_finished(job_id)


def _headers(offset: int) -> dict[str, str]:
    return {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        # nginx passes the stream on as it comes.
        "X-Accel-Buffering": "no",
        # Where this answer begins: what a negative offset came to.
        "Jobrunner-Offset": str(offset),
    }


def _content_type(request: Request) -> str:
    """Text, unless bytes are preferred. Raises: NotAcceptable."""
    if "accept" not in request.headers:
        return _TEXT
    match = request.accept.match("text/plain", _BYTES)
    if not match:
        given = request.headers["accept"][:80]
        raise NotAcceptable(f"Output comes as text/plain or {_BYTES}, got 'Accept: {given}'.")
    return _BYTES if str(match.mime) == _BYTES else _TEXT
