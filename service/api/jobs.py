"""The routes of one job, but for its output: show, wait, kill, clean, and a signal."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace
from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit, check_sees, sees
from service.api.how_to_kill import HowToKill
from service.api.job_view import process_views
from service.api.parameters import OfJob, optional, query
from service.api.present_view import excerpt_parameter, present_view
from service.api.responses import json_response
from service.api.route import Link, Route, Routes, Success
from service.api.signal_names import signal_form
from service.jobs.record import signal_name
from service.jobs.views import Accepted, JobView, Killed, Signalled
from service.web.fd_reserve import Cost
from service.web.request import Request
from service.web.timeouts import no_response_timeout

routes: Final = Routes()

# Of responses with the ID of a job.
LINKS_OF_JOB: Final = tuple(
    Link(operation, "$response.body#/ID")
    for operation in (
        "show",
        "attach",
        "output",
        "wait",
        "kill",
        "signal",
        "resize",
        "clean",
        "rerun",
        "release",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Show(OfJob):
    processes: bool = query(
        forms.flag(), "Whether to list the processes that the job has now.", default=False
    )
    excerpt_bytes: int | None = excerpt_parameter()


@routes.add(
    Route(
        method="GET",
        path="/{ID}",
        operation="show",
        meaning="The job as it is now.",
        details="Whoever prefers `text/html` gets a page for people instead.",
        parameters=Show,
        scope=Scope.READ,
        successes=(Success(200, "The job.", JobView),),
        problems=(errors.BadQuery, errors.UnknownJob),
        links=LINKS_OF_JOB,
    )
)
async def show(request: Request, given: Show) -> HTTPResponse:
    """The job as it is now. Raises: UnknownJob, Unavailable."""
    ctx = request.app.ctx
    check_sees(request, given.job_id)
    record = ctx.engine.jobs.show(given.job_id)
    view = await present_view(ctx, record, given.excerpt_bytes)
    if given.processes:
        found = await ctx.engine.live_usage.processes(record)
        view = replace(view, processes=process_views(found))
    return json_response(view)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(OfJob):
    timeout_s: float | None = optional(
        forms.seconds(), "Seconds after which to answer in any case.", name="timeout"
    )
    excerpt_bytes: int | None = excerpt_parameter()


@routes.add(
    Route(
        method="GET",
        path="/{ID}/wait",
        operation="wait",
        meaning="The job when it is finished.",
        parameters=Wait,
        details="A proxy may end a response that takes long: ask with a `timeout`, and ask again.",
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(200, "The job: finished, unless the timeout was over before.", JobView),
        ),
        problems=(errors.BadQuery, errors.UnknownJob),
    )
)
async def wait(request: Request, given: Wait) -> HTTPResponse:
    """The job once it is finished, or as it is after the timeout.

    Raises: UnknownJob, Unavailable.
    """
    ctx = request.app.ctx
    check_sees(request, given.job_id)
    with no_response_timeout(request):
        record = await ctx.engine.jobs.wait(given.job_id, given.timeout_s)
    return json_response(await present_view(ctx, record, given.excerpt_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(HowToKill, OfJob):
    pass


@routes.add(
    Route(
        method="DELETE",
        path="/{ID}",
        operation="kill",
        meaning=(
            "Kill the job, with all its processes; of one that is finished, those that it has left"
            " running."
        ),
        parameters=Kill,
        details=(
            "With `wait` the response comes when all processes are gone. Of a job that is unknown"
            " `State` is null."
        ),
        scope=Scope.RUN,
        successes=(Success(200, "Its state then.", Killed),),
        problems=(errors.BadQuery, errors.UnsupportedMediaType),
    )
)
async def kill(request: Request, given: Kill) -> HTTPResponse:
    """Kill the job; its state, null when it is unknown. Raises: Unavailable."""
    engine, job_id = request.app.ctx.engine, given.job_id
    if not sees(request, job_id):
        return json_response(Killed(job_id, None))
    audit(request, "kill", job_id, always=engine.jobs.is_live(job_id) or engine.kept.has(job_id))
    state = await engine.kill(job_id, signal=given.signal, grace_s=given.grace_s)
    if given.wait and state is not None:
        with no_response_timeout(request):
            state = (await engine.jobs.wait(job_id)).state
            await engine.wait_kept_ended(job_id)
    return json_response(Killed(job_id, state.value if state else None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(OfJob):
    signal: int = query(signal_form(), "The signal.", default=signals.SIGTERM)
    foreground: bool = query(
        forms.one_of({"all": False, "foreground": True}),
        "Who gets it: all processes, or those in the foreground of the job's terminal.",
        default=False,
        name="to",
    )


@routes.add(
    Route(
        method="POST",
        path="/{ID}/signal",
        operation="signal",
        meaning="Send all processes of a running job a signal, once; it is no kill.",
        parameters=Signal,
        details=(
            "The job goes on as its commands take it: one that dies of it has `exited`, with the"
            " `Signal`. To repeat a request that had no answer may send the signal twice."
        ),
        scope=Scope.RUN,
        successes=(Success(200, "How many processes got it.", Signalled),),
        problems=(
            errors.BadQuery,
            errors.UnknownJob,
            errors.JobNotRunning,
            errors.SignalNotPassedOn,
            errors.NoTerminal,
            errors.NoForeground,
            errors.UnsupportedMediaType,
            errors.OutcomeUnknown,
        ),
    )
)
async def signal(request: Request, given: Signal) -> HTTPResponse:
    """Send the job a signal.

    Raises: UnknownJob, JobNotRunning, SignalNotPassedOn, NoTerminal, NoForeground, OutcomeUnknown,
        Unavailable.
    """
    engine, job_id = request.app.ctx.engine, given.job_id
    check_sees(request, job_id)
    audit(request, "signal", job_id, always=engine.jobs.is_live(job_id))
    processes = await engine.interaction.signal(job_id, given.signal, foreground=given.foreground)
    return json_response(Signalled(job_id, signal_name(given.signal), processes))


@routes.add(
    Route(
        method="POST",
        path="/{ID}/clean",
        operation="clean",
        meaning="Forget a finished job: record, output, working directory.",
        parameters=OfJob,
        scope=Scope.RUN,
        successes=(Success(200, "It is gone.", Accepted),),
        problems=(
            errors.BadQuery,
            errors.UnknownJob,
            errors.JobIsLive,
            errors.FilesLeft,
            errors.UnsupportedMediaType,
            errors.InsufficientStorage,
        ),
    )
)
async def clean(request: Request, given: OfJob) -> HTTPResponse:
    """Forget a finished job.

    Raises: UnknownJob, JobIsLive, FilesLeft, InsufficientStorage, Unavailable.
    """
    check_sees(request, given.job_id)
    await request.app.ctx.engine.clean(given.job_id)
    audit(request, "clean", given.job_id, always=True)
    return json_response(Accepted(given.job_id))
