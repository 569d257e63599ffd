"""What a handler has to know of its caller: the jobs that it sees, what the audit log says."""

from __future__ import annotations

from sanic import Request

from service.access.scopes import Principal
from service.api.gate import Gate
from service.engine.engine import Engine
from service.errors import UnknownJob
from service.jobs.visibility import Sight, Visibility
from service.web.addresses import address, network


def visibility(request: Request) -> Visibility:
    """The jobs that the caller may see."""
    principal: Principal = request.ctx.principal
    return principal.visibility


def sees(request: Request, job_id: str) -> bool:
    """Whether the caller may know of that job; that it asked for one of somebody else is audited.

    Raises: Unavailable.
    """
    engine: Engine = request.app.ctx.engine
    sight = engine.sight(job_id, visibility(request))
    if sight is Sight.FOREIGN:
        audit(request, "refuse", job_id, code="foreign_job")
    return sight is Sight.SEEN


def check_sees(request: Request, job_id: str) -> None:
    """Raises: UnknownJob, for a job of somebody else as for one that there isn't; Unavailable."""
    if not sees(request, job_id):
        raise UnknownJob(job_id)


def audit(
    request: Request, action: str, job_id: str, *, code: str | None = None, always: bool = False
) -> None:
    """One line in the audit log; within the bounds of the caller, unless it is written `always`."""
    principal: Principal = request.ctx.principal
    gate: Gate = request.app.ctx.gate
    client_ip = address(request)
    fields = {
        "principal": principal.name,
        "token": principal.token,
        "client_ip": client_ip,
        "job": job_id,
    }
    if code is not None:
        fields |= {"code": code, "request": f"{request.method} {request.path}"}
    if always:
        gate.audit_log.always(action, **fields)
    else:
        gate.audit_log.add(principal.name or network(client_ip), action, **fields)
