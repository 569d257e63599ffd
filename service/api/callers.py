"""What a handler has to know of who calls: whose jobs it may see, what it leaves in the trail."""

from __future__ import annotations

from sanic import Request

from service.access.audit import Trail
from service.access.scopes import Principal
from service.api.gate import address
from service.engine.engine import Engine
from service.jobs.errors import UnknownJob


def owner_seen(request: Request) -> str | None:
    """The principal whose jobs alone the caller sees; None when it sees all."""
    principal: Principal = request.ctx.principal
    return principal.only_owner


def sees(request: Request, job_id: str) -> bool:
    """Whether the caller may know of that job. Raises: Unavailable."""
    owner = owner_seen(request)
    engine: Engine = request.app.ctx.engine
    return owner is None or engine.is_of(job_id, owner)


def check_sees(request: Request, job_id: str) -> None:
    """Raises: UnknownJob, for a job of somebody else as for one that there isn't; Unavailable."""
    if not sees(request, job_id):
        raise UnknownJob(job_id)


def leave_trace(request: Request, action: str, job_id: str) -> None:
    """One line in the audit trail."""
    principal: Principal = request.ctx.principal
    trail: Trail = request.app.ctx.trail
    trail.add(
        action, principal=principal.name, token=principal.token, of=address(request), job=job_id
    )
