"""A whole run in one request: a submission that is answered with the job's view or its output.

Once the job is stored there is no error any more that would hide that: an answer that can't be
given is the job as it stands, or a stream that is cut.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final

import structlog
from sanic import HTTPResponse

from service.api import forms
from service.api.agreement import Agreement, Contradiction, Need
from service.api.attach import stream_output
from service.api.callers import audit
from service.api.parameters import optional, parameters, query
from service.api.present_view import excerpt_parameter, present_view
from service.api.reading import InFormat, in_format
from service.api.responses import json_response
from service.api.room import check_room
from service.engine.engine import Engine
from service.errors import BadQuery, InsufficientStorage, Unavailable
from service.jobs.record import JobRecord
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse

_EITHER: Final = "the answer is either the output or the job's view"
AGREEMENT: Final = Agreement(
    contradictions=(
        Contradiction("attach", "wait", _EITHER),
        Contradiction("attach", "output", _EITHER),
    ),
    needs=(
        Need("output", "wait"),
        Need("format", "attach"),
        Need("gaps", "attach"),
        Need("timestamps", "attach"),
        Need("lines", "attach"),
    ),
    words=("`timestamps` is for text, `lines` for `sse` and `ndjson`.",),
)

# Characters of an unknown name that an error repeats.
_MAX_QUOTED: Final = 80

_log = structlog.get_logger("jobrunner.api")


@dataclass(frozen=True, kw_only=True)
class OneCall(InFormat):
    """How a submission is to be answered."""

    wait_s: float | None = optional(
        forms.seconds(),
        "Seconds to wait for the end of the job; the answer is its view, as it is then.",
        name="wait",
    )
    excerpt_bytes: int | None = excerpt_parameter()
    attach: bool = query(
        forms.flag(), "Whether to answer with the output, live until the job ends.", default=False
    )

    @property
    def is_one_call(self) -> bool:
        """Whether the answer is more than the job's ID."""
        return self.attach or self.wait_s is not None


_KNOWN: Final = sorted(each.name for each in parameters(OneCall).values())


def check_one_call(request: Request, given: OneCall) -> None:
    """Refuse what can't be answered, before the job is stored.

    Raises: BadQuery, NotAcceptable, Unavailable.
    """
    _check_agreement(given)
    if given.is_one_call:
        _check_known(request)
    if given.attach:
        in_format(request, given)
        check_room(request)


async def respond(
    request: Request, given: OneCall, job_id: str, status: int, headers: dict[str, str]
) -> HTTPResponse | None:
    """The answer about a job that is stored; None, when it is sent as this returns.

    Raises: UnknownJob, when it was cleaned; Unavailable.
    """
    if given.wait_s is None:
        await _attach(request, given, job_id, status, headers)
        return None
    ctx = request.app.ctx
    record = await _finished(ctx.engine, job_id, given.wait_s)
    view = await present_view(ctx, record, given.excerpt_bytes)
    return json_response(view, status=status, headers=headers)


async def _finished(engine: Engine, job_id: str, wait_s: float) -> JobRecord:
    try:
        return await engine.jobs.wait(job_id, wait_s)
    except Unavailable:
        # This worker stops. The job was taken, so its caller isn't told of an error.
        return engine.jobs.show(job_id)


async def _attach(
    request: Request, given: OneCall, job_id: str, status: int, headers: dict[str, str]
) -> None:
    wanted = in_format(request, given)
    audit(request, "attach", job_id)
    encoder = wanted.format.encoder(
        marks_gaps=given.marks_gaps, timestamps=given.timestamps, lines=given.lines
    )
    output = request.app.ctx.engine.outputs.follow(
        job_id, encoder, offset=0, stream=None, follow=True
    )
    async with AsyncExitStack() as opened:
        try:
            await opened.enter_async_context(output)
        except (Unavailable, InsufficientStorage) as exc:
            await _cut(
                StreamingResponse(
                    request,
                    headers,
                    wanted.content_type,
                    None,
                    status=status,
                    format_name=wanted.format.name,
                )
            )
            _log.info("stream_cut", job=job_id, offset=0, why=str(exc))
        else:
            await stream_output(
                request, job_id, output, wanted, headers, status=status, lingers=True
            )


async def _cut(response: StreamingResponse) -> None:
    """Of a job that was taken its caller learns where it is, and that its output isn't whole."""
    with suppress(StreamAborted):
        async with response:
            raise StreamAborted


def _check_known(request: Request) -> None:
    """A submission ignores what it doesn't know; one that says how it is to be answered doesn't: a
    part of the output that was asked for would be taken for what came.

    Raises: BadQuery.
    """
    for name in request.get_args(keep_blank_values=True):
        if name not in _KNOWN:
            raise BadQuery(
                f"Unknown query parameter {name[:_MAX_QUOTED]!r} beside 'wait' or 'attach';"
                f" expected: {', '.join(_KNOWN)}."
            )


def _check_agreement(given: OneCall) -> None:
    """Raises: BadQuery, for parameters that contradict each other, or need one that isn't given."""
    asked = {
        "attach": given.attach or None,
        "wait": given.wait_s,
        "output": given.excerpt_bytes,
        "format": given.format,
        "gaps": given.marks_gaps,
        "timestamps": given.timestamps or None,
        "lines": given.lines or None,
    }
    AGREEMENT.check([name for name, value in asked.items() if value is not None])
