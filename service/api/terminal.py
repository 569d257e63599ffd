"""The route of a job's terminal: its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit, check_sees
from service.api.parameters import OfJob, required
from service.api.responses import json_response
from service.api.route import Route, Routes, Success
from service.jobs.terminal import MAX_COLS, MAX_ROWS
from service.jobs.views import Resized
from service.web.request import Request

routes: Final = Routes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(OfJob):
    rows: int = required(forms.integer(1, MAX_ROWS), "Lines of the terminal.")
    cols: int = required(forms.integer(1, MAX_COLS), "Columns of it.")


@routes.add(
    Route(
        method="POST",
        path="/{ID}/resize",
        operation="resize",
        meaning="Give the terminal of a live job another size.",
        parameters=Resize,
        details=(
            "The processes in its foreground get WINCH, if that changes anything. The terminal of a"
            " pending job begins with the size that it was given last."
        ),
        scope=Scope.RUN,
        successes=(Success(200, "Its size now.", Resized),),
        problems=(
            errors.BadQuery,
            errors.UnknownJob,
            errors.NoTerminal,
            errors.JobNotRunning,
            errors.UnsupportedMediaType,
        ),
    )
)
async def resize(request: Request, given: Resize) -> HTTPResponse:
    """Change the size of the job's terminal.

    Raises: UnknownJob, NoTerminal, JobNotRunning, Unavailable.
    """
    engine, job_id = request.app.ctx.engine, given.job_id
    check_sees(request, job_id)
    audit(request, "resize", job_id, always=engine.jobs.is_live(job_id))
    await engine.interaction.resize(job_id, given.rows, given.cols)
    return json_response(Resized(job_id, given.rows, given.cols))
