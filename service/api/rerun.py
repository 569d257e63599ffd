"""`POST /<ID>/rerun`: submit what a job was submitted as, once more, or with changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api.callers import check_sees
from service.api.jobs import LINKS_OF_JOB
from service.api.one_call import AGREEMENT, check_one_call
from service.api.parameters import OfJob
from service.api.route import JSON, MERGE_PATCH, Route, Routes
from service.api.submit import PROBLEMS, SUCCESSES, Submission, in_thread_if_large, take
from service.errors import SubmissionLost
from service.jobs.decoding import decode_object
from service.jobs.spec import JobPatch, JobSpec
from service.kinds.stored import decode_spec
from service.kinds.submission import changed
from service.kinds.validation import validate_job
from service.settings import Settings
from service.web.fd_reserve import Cost
from service.web.request import Request

routes: Final = Routes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun(Submission, OfJob):
    pass


@routes.add(
    Route(
        method="POST",
        path="/{ID}/rerun",
        operation="rerun",
        meaning="Submit a job again as a new one, with changes if there is a body.",
        parameters=Rerun,
        details=(
            "The body is a merge patch (RFC 7396) of the submission: a key replaces, null removes,"
            " objects are merged. Values of the environment are those of the first submission."
            " `CommandLine` and `Commands` replace each other. The result is checked as a"
            " submission is, and the response is that of one."
        ),
        agreement=AGREEMENT,
        body=JobPatch,
        body_is_optional=True,
        media=(MERGE_PATCH, JSON),
        scope=Scope.RUN,
        cost=Cost.STARTS_WORK,
        successes=SUCCESSES,
        problems=(*PROBLEMS, SubmissionLost),
        links=LINKS_OF_JOB,
    )
)
async def rerun(request: Request, given: Rerun) -> HTTPResponse | None:
    """Store a job made of another one, and answer as `submit` does.

    Raises: UnknownJob, SubmissionLost; as `submit`.
    """
    ctx = request.app.ctx
    check_sees(request, given.job_id)
    check_one_call(request, given)
    record = ctx.engine.jobs.show(given.job_id)
    patch = decode_object(request.body) if request.body else {}

    def parse(stored: bytes) -> JobSpec:
        return _changed(given.job_id, stored, patch, ctx.settings)

    spec = await in_thread_if_large(record.spec, parse)
    return await take(request, given, spec, again=given.job_id)


def _changed(job_id: str, stored: bytes, patch: dict[str, Any], settings: Settings) -> JobSpec:
    try:
        spec = decode_spec(stored)
    except ValueError as exc:
        raise SubmissionLost(job_id) from exc
    if not spec.commands:
        raise SubmissionLost(job_id)
    return validate_job(changed(spec, patch), settings)
