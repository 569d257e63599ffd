"""For load balancers: is the process there, and would it take a job now."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from service.api.jobs import answer

health = Blueprint("health", url_prefix="/health")


@health.route("/live", methods=["GET", "HEAD"], name="live")
async def live(_request: Request) -> HTTPResponse:
    """Answer: this process is there."""
    return answer({"Status": "live"})


@health.route("/ready", methods=["GET", "HEAD"], name="ready")
async def ready(request: Request) -> HTTPResponse:
    """Answer: a job would be taken now, and which Kinds of command would run.

    Raises: Unavailable, with the reason.
    """
    request.app.ctx.engine.check_ready()
    return answer({"Status": "ready", "Kinds": await request.app.ctx.kinds_health.view()})
