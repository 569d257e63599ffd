"""`DELETE /` and `POST /clean`: killing and cleaning the jobs that selectors select."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit
from service.api.how_to_kill import HowToKill
from service.api.parameters import query
from service.api.responses import json_response
from service.api.route import Route, Routes, Success
from service.api.selectors import Selectors
from service.engine.selected import Touched
from service.jobs.states import FINISHED, LIVE
from service.jobs.views import CleanedJobs, Killed, KilledJobs, UntouchedView
from service.web.context import Context
from service.web.request import Request
from service.web.timeouts import no_response_timeout

routes: Final = Routes()

# An answer with as many jobs is a megabyte; to clean them takes some seconds.
_MAX_JOBS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected(Selectors):
    limit: int = query(
        forms.integer(1, _MAX_JOBS), "Jobs that are touched at most.", default=_MAX_JOBS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSelected(HowToKill, Selected):
    pass


@routes.add(
    Route(
        method="DELETE",
        path="/",
        operation="kill_selected",
        meaning="Kill the live jobs that are selected, at least by one selector.",
        parameters=KillSelected,
        scope=Scope.RUN,
        successes=(Success(200, "Which were killed, and which weren't.", KilledJobs),),
        problems=(errors.BadQuery, errors.UnsupportedMediaType),
    )
)
async def kill_selected(request: Request, given: KillSelected) -> HTTPResponse:
    """Kill the live jobs of a selection that the caller may kill. Raises: BadQuery, Unavailable."""
    given.check_some_given()
    ctx = request.app.ctx
    selection = given.selection(time.time_ns(), only=LIVE)
    with no_response_timeout(request):
        touched = await ctx.engine.kill_selected(
            selection,
            request.principal.visibility,
            signal=given.signal,
            grace_s=given.grace_s,
            limit=given.limit,
            on_touch=partial(audit, request, "kill", always=True),
        )
        if given.wait:
            for job_id in touched.ids:
                await ctx.engine.jobs.wait_finished(job_id)
    killed = [_killed(ctx, job_id) for job_id in touched.ids]
    return json_response(KilledJobs(killed, _untouched(touched), touched.has_more))


@routes.add(
    Route(
        method="POST",
        path="/clean",
        operation="clean_selected",
        meaning="Clean the finished jobs that are selected, at least by one selector.",
        parameters=Selected,
        scope=Scope.RUN,
        successes=(Success(200, "Which were cleaned, and which weren't.", CleanedJobs),),
        problems=(errors.BadQuery, errors.UnsupportedMediaType, errors.InsufficientStorage),
    )
)
async def clean_selected(request: Request, given: Selected) -> HTTPResponse:
    """Clean the finished jobs of a selection that the caller may clean.

    Raises: BadQuery, InsufficientStorage, Unavailable.
    """
    given.check_some_given()
    selection = given.selection(time.time_ns(), only=FINISHED)
    with no_response_timeout(request):
        touched = await request.app.ctx.engine.clean_selected(
            selection,
            request.principal.visibility,
            limit=given.limit,
            on_touch=partial(audit, request, "clean", always=True),
        )
    return json_response(CleanedJobs(touched.ids, _untouched(touched), touched.has_more))


def _killed(ctx: Context, job_id: str) -> Killed:
    try:
        return Killed(job_id, ctx.engine.jobs.state(job_id).value)
    except errors.UnknownJob:
        return Killed(job_id, None)  # cleaned since


def _untouched(touched: Touched) -> list[UntouchedView]:
    return [
        UntouchedView(job.id, job.state.value if job.state else None, job.why)
        for job in touched.untouched
    ]
