"""`GET /<ID>/ws`: the output over a WebSocket, from any offset and live, and the input back.

All that can be refused is refused before the upgrade, as a problem document. Afterwards a close
says why: 1000 behind the last output, 1001 a worker that stops, 1008 what the client may not do,
1011 output that is cut.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.agreement import Agreement, Need
from service.api.callers import audit, check_sees
from service.api.channels import Code, Subprotocol, negotiated
from service.api.client_input import ClientInput
from service.api.left_input import LeftInput
from service.api.parameters import OfJob, optional, query
from service.api.reading import MAX_OFFSET
from service.api.room import check_room
from service.api.route import Route, Routes, Success, Tag
from service.engine.job_subscription import JobSubscription
from service.errors import (
    BadHeader,
    BadQuery,
    InsufficientStorage,
    JobNotRunning,
    JobrunnerError,
    MissingScope,
    NoInput,
    NoTerminal,
    OffsetBeyondEnd,
    OffsetInGap,
    OutputDropped,
    UnknownJob,
    UpgradeRequired,
)
from service.jobs.record import JobRecord
from service.jobs.terminal import MAX_COLS, MAX_ROWS
from service.store import readable
from service.web.fd_reserve import Cost, refuse_in_reserve
from service.web.request import Request
from service.web.streaming import StreamAborted
from service.web.timeouts import no_response_timeout
from service.web.websocket import WebSocket
from service.web.websocket_handshake import accept, offered_subprotocols

routes: Final = Routes()

_left: Final = LeftInput()

_log = structlog.get_logger("jobrunner.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect(OfJob):
    offset: int = query(
        forms.integer(-MAX_OFFSET, MAX_OFFSET),
        "Where to begin; a negative one counts from the present end.",
        default=0,
    )
    stdin: bool | None = optional(
        forms.flag(),
        "Whether what the client sends is input. When not given, it is where the job has an input"
        " and the token the scope `run`.",
    )
    rows: int | None = optional(
        forms.integer(1, MAX_ROWS), "Lines that the job's terminal is to have, from now on."
    )
    cols: int | None = optional(forms.integer(1, MAX_COLS), "Columns of it.")


_AGREEMENT: Final = Agreement(needs=(Need("rows", "cols"), Need("cols", "rows")))


@routes.add(
    Route(
        method="GET",
        path="/{ID}/ws",
        operation="ws",
        meaning="The output over a WebSocket, from any offset, then live until the job ends.",
        parameters=Connect,
        tag=Tag.OUTPUT,
        details=(
            "The request is the handshake of a WebSocket (RFC 6455); what is refused is a problem"
            " document. Without `Sec-WebSocket-Protocol` each message is bytes of output. With"
            " `v5.channel.k8s.io` or `v4.channel.k8s.io` it is spoken as Kubernetes does: the first"
            " byte is the channel, 1 standard output, 2 standard error, and 3, behind the output,"
            " how the job ended (`{"
            '"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason":'
            ' "ExitCode", "message": "7"}]}}`). The connection is closed with 1000 behind the'
            " output, 1001 when the worker stops, 1008 when the client may not do what it did, and"
            " 1011 when the output is cut; but for 1000 it goes on at the offset behind what came."
            " Every 20 seconds the service sends a ping. What the client sends is input, where the"
            " job has one and the token the scope `run`: each message, or those of channel 0;"
            " channel 255 of v5 with the byte 0 ends it. With `v1.channel.jobrunner`, whose"
            " channels are those of v4, 8 bytes (the highest first) before the input say how many"
            " the job must have taken before, and each message is answered on channel 0"
            ' (`{"Offset": 1234, "Refused": false}`): how many it has taken now, with `"Closed":'
            " true` where it takes no more. So input is sent again after a lost connection, and"
            " comes once. Channel 4 has the size of the"
            ' client\'s terminal (`{"Width": 80, "Height": 24}`), which that of the job gets, if it'
            " has one."
        ),
        agreement=_AGREEMENT,
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(101, "What follows is a WebSocket.", content=(), headers=("Jobrunner-Offset",)),
        ),
        problems=(
            BadQuery,
            BadHeader,
            UnknownJob,
            NoInput,
            NoTerminal,
            OffsetBeyondEnd,
            OffsetInGap,
            UpgradeRequired,
            InsufficientStorage,
        ),
    )
)
async def ws(request: Request, given: Connect) -> HTTPResponse | None:
    """Speak over a WebSocket until the job ends, or the client goes; None, as all was sent.

    Raises: UnknownJob, UpgradeRequired, BadHeader, MissingScope, NoInput, OffsetBeyondEnd,
        OffsetInGap, Unavailable, InsufficientStorage; CorruptLog, when there is less than the
        record tells of; all before the upgrade.
    """
    engine, job_id = request.app.ctx.engine, given.job_id
    _AGREEMENT.check(request.get_args(keep_blank_values=True))
    check_sees(request, job_id)
    record = engine.jobs.show(job_id)  # an unknown job is nothing but that
    subprotocol = negotiated(offered_subprotocols(request.headers))
    answer = accept(request.method, request.version, request.headers, subprotocol.name)
    came = ClientInput(subprotocol, *_input_of(request, given, record))
    check_room(request)
    await _resize(request, given)
    audit(request, "attach", job_id)
    output = engine.outputs.follow(
        job_id, subprotocol.encoder(), offset=given.offset, stream=None, follow=True
    )
    with no_response_timeout(request):
        async with output:
            if output.descriptor is not None:
                refuse_in_reserve(output.descriptor)
            answer["Jobrunner-Offset"] = str(output.offset)
            socket = WebSocket(request, answer, came.received)
            came.attach(socket)
            async with socket:
                await _speak(request, job_id, subprotocol, output, socket, came)
    return None


class _Job:
    """Where input goes. That there was some stands in the audit log, once; what it was nowhere."""

    def __init__(self, request: Request, job_id: str, *, has_terminal: bool) -> None:
        self._request = request
        self._job_id = job_id
        self._has_terminal = has_terminal
        self._audited: set[str] = set()

    async def resize(self, rows: int, cols: int) -> None:
        if self._has_terminal:
            size = min(rows, MAX_ROWS), min(cols, MAX_COLS)
            await self._request.app.ctx.engine.interaction.resize(self._job_id, *size)
            self._audit("resize")

    async def write(self, data: bytes, offset: int | None = None, *, eof: bool = False) -> int:
        interaction = self._request.app.ctx.engine.interaction
        taken: int = await interaction.write_input(self._job_id, data, offset, eof=eof)
        if data or eof:
            self._audit("input")
        return taken

    def _audit(self, action: str) -> None:
        if action not in self._audited:
            self._audited.add(action)
            audit(self._request, action, self._job_id, always=True)


def _input_of(request: Request, given: Connect, record: JobRecord) -> tuple[_Job | None, str]:
    """None: the client only watches, for that reason. Raises: MissingScope, NoInput."""
    may_write = request.principal.may(Scope.RUN)
    spec = readable(record)[1]
    if given.stdin is False:
        return None, "stdin=false was asked for: this client only watches"
    if not may_write:
        if given.stdin:
            raise MissingScope(Scope.RUN.value)
        return None, f"input needs a token with the scope {Scope.RUN.value!r}"
    if not spec.has_input:
        if given.stdin:
            raise NoInput(given.job_id)
        return None, "this job has no input"
    return _Job(request, given.job_id, has_terminal=spec.tty is not None), ""


async def _resize(request: Request, given: Connect) -> None:
    """As it is asked for; a job that is over needs none. Raises: MissingScope, NoTerminal,
    Unavailable.
    """
    if given.rows is None or given.cols is None:
        return
    if not request.principal.may(Scope.RUN):
        raise MissingScope(Scope.RUN.value)
    with suppress(JobNotRunning):
        await request.app.ctx.engine.interaction.resize(given.job_id, given.rows, given.cols)
        audit(request, "resize", given.job_id, always=True)


async def _speak(
    request: Request,
    job_id: str,
    subprotocol: Subprotocol,
    output: JobSubscription,
    socket: WebSocket,
    came: ClientInput,
) -> None:
    delivering = asyncio.create_task(came.deliver(), name="websocket-input")
    try:
        await _send(request, job_id, subprotocol, output, socket)
    finally:
        came.end()
        with _left.kept(came.waiting) as is_kept:
            if not is_kept:
                _log.warning("input_dropped", job=job_id, bytes=came.waiting)
                delivering.cancel()
            try:
                await delivering  # also of a client that has gone
            except asyncio.CancelledError:
                delivering.cancel()
                raise


async def _send(
    request: Request,
    job_id: str,
    subprotocol: Subprotocol,
    output: JobSubscription,
    socket: WebSocket,
) -> None:
    try:
        await output.copy_to(socket)
        if end := subprotocol.end(request.app.ctx.engine.jobs.show(job_id)):
            await socket.write(end)
        await socket.end()
    except StreamAborted:
        pass  # it closes, or the client is gone
    except OutputDropped as exc:
        _log.info("stream_cut", job=job_id, offset=output.offset, why=str(exc))
        await socket.end(Code.CUT, f"output was dropped: it goes on at offset {exc.until}")
    except (JobrunnerError, OSError) as exc:
        _log.info("stream_cut", job=job_id, offset=output.offset, why=str(exc))
        await socket.end(Code.CUT, "the output can't be read on")
