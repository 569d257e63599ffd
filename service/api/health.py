"""For load balancers: is the process there, and would it take a job now."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from service.api.jobs import answer
from service.api.problems import ERROR_FORMAT
from service.api.views import CheckView, KindView, Live, Ready
from service.engine.engine import Engine
from service.errors import NotReady

health = Blueprint("health", url_prefix="/health")


@health.route(
    "/live", methods=["GET", "HEAD"], name="live", error_format=ERROR_FORMAT, ctx_public=True
)
async def live(_request: Request) -> HTTPResponse:
    """Answer: this process is there."""
    return answer(Live())


@health.route(
    "/ready", methods=["GET", "HEAD"], name="ready", error_format=ERROR_FORMAT, ctx_public=True
)
async def ready(request: Request) -> HTTPResponse:
    """Answer: a job would be taken now, what was looked at, and which Kinds of command would run.

    Raises: NotReady, with the reasons.
    """
    engine: Engine = request.app.ctx.engine
    checks = {**engine.readiness(), "output": None}
    if (why := getattr(request.ctx, "no_descriptors", None)) is not None:
        checks["descriptors"] = why
    if any(checks.values()):
        raise NotReady(checks)
    faults = await request.app.ctx.kinds_health.view()
    kinds = {name: KindView(said["Usable"], said["Error"]) for name, said in faults.items()}
    remarks = engine.remarks()
    return answer(
        Ready({name: CheckView(ok=True, why=remarks.get(name)) for name in checks}, kinds)
    )
