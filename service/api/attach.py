"""`GET /<ID>/attach`: the output from any offset, then live until the job ends.

Where bytes were dropped (`OutputLimit`), what lies before them is sent and the answer is cut, so
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
from service.errors import (
    JobrunnerError,
    NotAcceptable,
    OffsetBeyondEnd,
    OutputDropped,
    OutputError,
    Unavailable,
    WatcherClosed,
)
from service.jobs.lifecycle import FINISHED, LIVE, State
from service.output.subscription import Subscription, check_end
from service.output.watcher import LogWatcher
from service.web.fd_reserve import refuse_in_reserve
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import UnlimitedAnswerTime

attach = Blueprint("attach")

_TEXT: Final = "text/plain; charset=utf-8"
# Seconds after which a reader may come again when all places are taken.
_RETRY_S: Final = 5
_BYTES: Final = "application/octet-stream"

_log = structlog.get_logger("jobrunner.api")


@attach.route(
    "/<job_id:str>/attach", methods=["GET", "HEAD"], name="attach", error_format=ERROR_FORMAT
)
async def attach_to_job(request: Request, job_id: str) -> HTTPResponse | None:
    """Stream the output; None when it was sent already.

    Raises: UnknownJob, BadQuery, NotAcceptable, OffsetBeyondEnd, OffsetInGap, Unavailable;
        CorruptLog, when there is less than the record tells of; all before the answer begins.
    """
    offset, stream, follow, marked = attach_query(request.query_string)
    content_type = _content_type(request)
    engine: Engine = request.app.ctx.engine
    check_sees(request, job_id)
    # Asked before the log is looked for: of a finished job it is there, or never will be.
    state = engine.state(job_id)
    _check_room(request)
    audit(request, "attach", job_id)

    watcher: LogWatcher = request.app.ctx.log_watcher
    log = engine.files(job_id).log
    # A log that nobody writes any more ends where it ends, whether it was closed or not.
    live = follow and state not in FINISHED
    recorded = 0 if state in LIVE else engine.output_end(job_id)
    for may_make in (follow and state is State.RUNNING, False):
        subscription = Subscription(
            watcher, log, offset, stream, follow=live, into_gap=marked, at_least=recorded
        )
        try:
            async with subscription:
                refuse_in_reserve(subscription.descriptor)
                with UnlimitedAnswerTime(request):
                    is_over = not follow or state in FINISHED
                    await _send(
                        request, job_id, subscription, content_type, marked=marked, is_over=is_over
                    )
            return None
        except WatcherClosed as exc:  # nothing was sent: another worker is there for the next try
            raise Unavailable("This worker is stopping.") from exc
        except FileNotFoundError:
            engine.state(job_id)  # it may have been cleaned just now
            check_end(0, recorded)
        # Not a byte of it has come.
        if offset > 0:
            raise OffsetBeyondEnd(offset, 0)
        if not may_make:
            break
        await engine.make_log(job_id)
    if not follow or state in FINISHED:
        return HTTPResponse(b"", content_type=content_type, headers=_headers(0))
    with UnlimitedAnswerTime(request):
        await _wait_and_send(request, engine, job_id, stream, content_type, marked=marked)
    return None


async def _send(
    request: Request,
    job_id: str,
    subscription: Subscription,
    content_type: str,
    *,
    marked: bool,
    is_over: bool,
) -> None:
    engine: Engine = request.app.ctx.engine
    # A log may be finished while its job isn't: who hears of the one shall find the other. So the
    # end isn't told beforehand. Marks aren't known beforehand either.
    length = None if marked or not is_over else subscription.length
    answer = StreamingResponse(request, _headers(subscription.offset), content_type, length)
    try:
        async with answer:
            if request.method == "HEAD":
                return
            await _pass_on(subscription, answer, marked=marked)
            if not is_over:
                await _wait_for_last(engine, job_id, subscription.state.end)
    except (StreamAborted, OutputError, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, offset=subscription.offset, why=str(exc))


async def _wait_and_send(
    request: Request,
    engine: Engine,
    job_id: str,
    stream: int | None,
    content_type: str,
    *,
    marked: bool,
) -> None:
    """A job without a log: the answer opens now, and its output follows."""
    watcher: LogWatcher = request.app.ctx.log_watcher
    try:
        async with StreamingResponse(request, _headers(0), content_type, None) as answer:
            if request.method == "HEAD":
                return
            await engine.wait_started(job_id)
            await engine.make_log(job_id)
            try:
                log = engine.files(job_id).log
                async with Subscription(watcher, log, 0, stream, into_gap=marked) as subscription:
                    await _pass_on(subscription, answer, marked=marked)
                    end = subscription.state.end
            except FileNotFoundError:
                engine.state(job_id)  # it has none, and gets none any more; or it was cleaned
                end = 0
            await _wait_for_last(engine, job_id, end)
    except (StreamAborted, OutputError, JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, why=str(exc))


async def _pass_on(subscription: Subscription, answer: StreamingResponse, *, marked: bool) -> None:
    while True:
        try:
            async for chunk in subscription.chunks(answer):
                await answer.write(chunk)
            break
        except OutputDropped as dropped:
            if not marked:
                await answer.flush()
                raise
            starts_line = answer.at_line_start
            line = b"[jobrunner: %d bytes dropped]\n" % subscription.skip(dropped)
            await answer.write(line if starts_line else b"\n" + line)


async def _wait_for_last(engine: Engine, job_id: str, end: int) -> None:
    """Whoever saw the end of the output finds the job finished. Raises: CorruptLog, for an output
    that ends too early.
    """
    await engine.wait_finished(job_id)
    check_end(end, engine.output_end(job_id))


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
        # Where this answer begins: what a negative offset came to.
        "Jobrunner-Offset": str(offset),
    }


def _content_type(request: Request) -> str:
    """Text, unless bytes are preferred. Raises: NotAcceptable."""
    if "accept" not in request.headers:
        return _TEXT
    wish_text, wish_bytes = _wish(request, "text/plain"), _wish(request, _BYTES)
    if not wish_text and not wish_bytes:
        given = request.headers["accept"][:80]
        raise NotAcceptable(f"Output comes as text/plain or {_BYTES}, got 'Accept: {given}'.")
    return _BYTES if wish_bytes > wish_text else _TEXT


def _wish(request: Request, mime: str) -> float:
    """From 0 (never) to 1: what the most specific range that covers `mime` says.

    Source: RFC 9110, section 12.5.1.
    """
    ranges = [r for r in request.accept if r.match(mime)]
    if not ranges:
        return 0.0
    return float(max(ranges, key=lambda r: (r.type != "*", r.subtype != "*", len(r.params))).q)
