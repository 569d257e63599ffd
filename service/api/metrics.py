"""`GET /metrics`: the series of the whole service, whichever worker responds."""

from __future__ import annotations

import asyncio
from typing import Final

from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api.parameters import NoParameters
from service.api.route import Route, Routes, Success, Tag
from service.metrics.exposition import Stored, exposition
from service.store import FreeSpace
from service.web.request import Request

routes: Final = Routes()


@routes.add(
    Route(
        method="GET",
        path="/metrics",
        operation="metrics",
        meaning="The numbers of the whole service, for Prometheus.",
        parameters=NoParameters,
        any_query=True,
        tag=Tag.SERVICE,
        scope=Scope.READ,
        successes=(
            Success(
                200,
                "In the format asked for.",
                content=("text/plain", "application/openmetrics-text"),
            ),
        ),
    )
)
async def metrics(request: Request, _given: NoParameters) -> HTTPResponse:
    """The series, in the format that `Accept` names. Raises: Unavailable."""
    ctx = request.app.ctx
    free = FreeSpace.of(ctx.settings.state_dir)
    finished = ctx.store.finished
    stored = Stored(
        ctx.store.counts(),
        finished.totals().disk_bytes,
        finished.count_with_leftovers(),
        ctx.engine.kept.count(),
        free.bytes,
        free.inodes,
        ctx.engine.is_draining,
    )
    accept = request.headers.get("accept", "")
    # In a thread: to read the files of many workers takes some milliseconds.
    text, content_type = await asyncio.to_thread(exposition, ctx.metrics, stored, accept)
    return HTTPResponse(text, content_type=content_type)
