"""For load balancers: whether the process is there, and whether it would take a job now."""

from __future__ import annotations

from typing import Final

from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api.parameters import NoParameters
from service.api.responses import json_response
from service.api.route import Route, Routes, Success, Tag
from service.errors import NotReady
from service.jobs.views import CheckView, KindView, Live, Ready
from service.web.request import Request

routes: Final = Routes()


@routes.add(
    Route(
        method="GET",
        path="/health/live",
        operation="live",
        meaning="Whether this process responds.",
        parameters=NoParameters,
        any_query=True,
        tag=Tag.SERVICE,
        scope=Scope.READ,
        is_public=True,
        successes=(Success(200, "Yes.", Live),),
    )
)
async def live(_request: Request, _given: NoParameters) -> HTTPResponse:
    """This process is there."""
    return json_response(Live())


@routes.add(
    Route(
        method="GET",
        path="/health/ready",
        operation="ready",
        meaning="Whether the service would accept a job now.",
        parameters=NoParameters,
        any_query=True,
        tag=Tag.SERVICE,
        scope=Scope.READ,
        is_public=True,
        successes=(Success(200, "Yes; what was looked at.", Ready),),
        problems=(NotReady,),
    )
)
async def ready(request: Request, _given: NoParameters) -> HTTPResponse:
    """A job would be taken now: the checks, and which Kinds of command would run.

    Raises: NotReady, with the failed checks.
    """
    ctx = request.app.ctx
    checks = {**ctx.engine.readiness(), "output": None}
    if request.shed_reason is not None:
        checks["descriptors"] = request.shed_reason
    if any(checks.values()):
        raise NotReady(checks)
    faults = await ctx.kinds_health.view()
    kinds = {name: KindView(said["Usable"], said["Error"]) for name, said in faults.items()}
    remarks = ctx.engine.remarks()
    return json_response(
        Ready({name: CheckView(ok=True, why=remarks.get(name)) for name in checks}, kinds)
    )
