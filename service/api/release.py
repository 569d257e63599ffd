"""`POST /<ID>/release`: letting a held job run."""

from __future__ import annotations

from typing import Final

from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api.callers import audit, check_sees
from service.api.job_view import job_view
from service.api.jobs import LINKS_OF_JOB
from service.api.parameters import OfJob
from service.api.responses import json_response
from service.api.route import Route, Routes, Success
from service.jobs.views import JobView
from service.web.request import Request

routes: Final = Routes()


@routes.add(
    Route(
        method="POST",
        path="/{ID}/release",
        operation="release",
        meaning="Let a job that was submitted with `Hold` run as soon as there is a run slot.",
        parameters=OfJob,
        details="A repeat changes nothing.",
        scope=Scope.RUN,
        successes=(Success(200, "The job.", JobView),),
        problems=(
            errors.BadQuery,
            errors.UnknownJob,
            errors.JobNotHeld,
            errors.UnsupportedMediaType,
            errors.InsufficientStorage,
        ),
        links=LINKS_OF_JOB,
    )
)
async def release(request: Request, given: OfJob) -> HTTPResponse:
    """Let a held job run. Raises: UnknownJob, JobNotHeld, InsufficientStorage, Unavailable."""
    ctx = request.app.ctx
    check_sees(request, given.job_id)
    record = await ctx.engine.release(given.job_id)
    audit(request, "release", given.job_id, always=True)
    return json_response(job_view(record, ctx.settings))
