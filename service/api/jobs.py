"""The routes of jobs, but for attach: submit, list, show, wait, kill, clean."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET
from sanic import Blueprint, HTTPResponse, Request

from service.access.scopes import Principal
from service.api.callers import audit, check_sees, sees, visibility
from service.api.problems import ERROR_FORMAT
from service.api.queries import Parameters, cursor, kill_query, list_query
from service.api.views import Accepted, Killed, Listing, job_view
from service.engine.engine import Engine
from service.errors import BadHeader, UnsupportedMediaType
from service.jobs.ceilings import check_ceilings
from service.jobs.decoding import decode_object
from service.jobs.spec import JobSpec
from service.kinds.validation import validate_job
from service.settings import Settings
from service.web.timeouts import UnlimitedAnswerTime

jobs = Blueprint("jobs")

# Long enough for a UUID with a prefix, short enough for an index.
_MAX_KEY_CHARS: Final = 255
# Bytes of a body that takes longer to read than a thread takes to wake.
_LARGE_BYTES: Final = 64 << 10
# What the objects of all those take that are read at a time is bounded.
_one_large: Final = asyncio.Semaphore(1)


def answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    """`value` as a JSON answer."""
    return HTTPResponse(
        msgspec.json.encode(value) + b"\n",
        status=status,
        headers=headers,
        content_type="application/json",
    )


def _view(request: Request, record: Any) -> Any:
    return job_view(record, request.app.ctx.engine, request.app.ctx.settings)


@jobs.post("/", error_format=ERROR_FORMAT)
async def submit(request: Request) -> HTTPResponse:
    """Store a job: 201, or 200 when the idempotency key has been used for the same body.

    Raises: UnsupportedMediaType, BadHeader, MalformedBody, InvalidJob, IdempotencyKeyReused,
        InsufficientStorage, TooManyRequests, Unavailable.
    """
    if "content-type" not in request.headers:  # the gate has looked at what is there
        raise UnsupportedMediaType("Send the header 'Content-Type: application/json'; got none.")
    key = _idempotency_key(request)
    spec = await _parsed(request.body, request.app.ctx.settings)
    principal: Principal = request.ctx.principal
    check_ceilings(spec, principal.ceilings)
    engine: Engine = request.app.ctx.engine
    # The engine has a bound of its own, and takes back what it has begun. Sanic's would tell the
    # client 503, and the job would run.
    with UnlimitedAnswerTime(request):
        submission = await engine.submit(
            spec, key=key, principal=principal.name, ceilings=principal.ceilings
        )
    audit(request, "submit", submission.id, always=submission.created)
    status = 201 if submission.created else 200
    return answer(Accepted(submission.id), status=status, headers={"Location": f"/{submission.id}"})


@jobs.route("/", methods=["GET", "HEAD"], name="list", error_format=ERROR_FORMAT)
async def list_jobs(request: Request) -> HTTPResponse:
    """One page of jobs, oldest first, and a link to the next. Raises: BadQuery, Unavailable."""
    query, full = list_query(request.query_string)
    page = request.app.ctx.engine.page(query, visibility(request), full=full)
    views = [_view(request, record) for record in page.records] if full else UNSET
    if page.next is None:
        return answer(Listing(page.ids, views))
    after = cursor(page.next)
    others = [p for p in parse_qsl(request.query_string) if p[0] != "after"]
    following = urlencode([*others, ("after", after)])
    headers = {"Link": f'</?{following}>; rel="next"'}
    return answer(Listing(page.ids, views, after), headers=headers)


@jobs.route("/<job_id:str>", methods=["GET", "HEAD"], name="show", error_format=ERROR_FORMAT)
async def show(request: Request, job_id: str) -> HTTPResponse:
    """The job as it is now. Raises: UnknownJob, BadQuery, Unavailable."""
    Parameters(request.query_string, known=())
    check_sees(request, job_id)
    return answer(_view(request, request.app.ctx.engine.show(job_id)))


@jobs.route("/<job_id:str>/wait", methods=["GET", "HEAD"], name="wait", error_format=ERROR_FORMAT)
async def wait(request: Request, job_id: str) -> HTTPResponse:
    """The job once it is finished, or as it is after `?timeout=`.

    Raises: UnknownJob, BadQuery, Unavailable.
    """
    timeout_s = Parameters(request.query_string, known=("timeout",)).seconds("timeout")
    check_sees(request, job_id)
    with UnlimitedAnswerTime(request):
        record = await request.app.ctx.engine.wait(job_id, timeout_s)
    return answer(_view(request, record))


@jobs.delete("/<job_id:str>", error_format=ERROR_FORMAT)
async def kill(request: Request, job_id: str) -> HTTPResponse:
    """Kill the job; its state, null when it is unknown. Raises: BadQuery, Unavailable."""
    signal, grace_s, wait_for_end = kill_query(request.query_string)
    if not sees(request, job_id):
        return answer({"ID": job_id, "State": None})
    engine: Engine = request.app.ctx.engine
    audit(request, "kill", job_id, always=engine.is_live(job_id))
    state = await engine.kill(job_id, signal=signal, grace_s=grace_s)
    if wait_for_end and state is not None:
        with UnlimitedAnswerTime(request):
            state = (await engine.wait(job_id)).state
    return answer(Killed(job_id, state.value if state else None))


@jobs.post("/<job_id:str>/clean", error_format=ERROR_FORMAT)
async def clean(request: Request, job_id: str) -> HTTPResponse:
    """Forget a finished job.

    Raises: UnknownJob, JobIsLive, BadQuery, InsufficientStorage, Unavailable.
    """
    Parameters(request.query_string, known=())
    check_sees(request, job_id)
    await request.app.ctx.engine.clean(job_id)
    audit(request, "clean", job_id, always=True)
    return answer(Accepted(job_id))


async def _parsed(body: bytes, settings: Settings) -> JobSpec:
    """The job; a large one in a thread, one after the other, so that the others' requests go on."""
    if len(body) <= _LARGE_BYTES:
        return _parse(body, settings)
    async with _one_large:
        return await asyncio.to_thread(_parse, body, settings)


def _parse(body: bytes, settings: Settings) -> JobSpec:
    return validate_job(decode_object(body), settings)


def _idempotency_key(request: Request) -> str | None:
    keys = request.headers.getall("idempotency-key", [])
    if not keys:
        return None
    key = keys[0]
    if (
        len(keys) > 1
        or not 0 < len(key) <= _MAX_KEY_CHARS
        or not key.isascii()
        or not key.isprintable()
    ):
        raise BadHeader(
            f"Idempotency-Key: expected one of 1 to {_MAX_KEY_CHARS} printable ASCII characters,"
            f" got {len(keys)} of {len(key)} characters."
        )
    return str(key)
