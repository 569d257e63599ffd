"""`PATCH /<ID>`: changing a job that is pending."""

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
from service.jobs.ceilings import check_priority
from service.jobs.conversion import convert
from service.jobs.decoding import decode_object
from service.jobs.spec import JobChange
from service.jobs.views import JobView
from service.web.request import Request

routes: Final = Routes()


@routes.add(
    Route(
        method="PATCH",
        path="/{ID}",
        operation="change",
        meaning="Change the priority of a pending job, at once.",
        parameters=OfJob,
        body=JobChange,
        scope=Scope.RUN,
        successes=(Success(200, "The job.", JobView),),
        problems=(
            errors.BadQuery,
            errors.MalformedBody,
            errors.UnknownJob,
            errors.JobNotPending,
            errors.UnsupportedMediaType,
            errors.InvalidJob,
            errors.InsufficientStorage,
        ),
        links=LINKS_OF_JOB,
    )
)
async def change(request: Request, given: OfJob) -> HTTPResponse:
    """Change a pending job.

    Raises: MalformedBody, InvalidJob, UnknownJob, JobNotPending, InsufficientStorage, Unavailable.
    """
    ctx, principal = request.app.ctx, request.principal
    check_sees(request, given.job_id)
    asked = convert(decode_object(request.body), JobChange)
    check_priority(asked.priority, principal.ceilings)
    record = await ctx.engine.set_priority(given.job_id, asked.priority)
    audit(request, "change", given.job_id, always=True)
    return json_response(job_view(record, ctx.settings))
