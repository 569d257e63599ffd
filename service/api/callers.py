"""What a handler may show its caller, and its lines in the audit log."""

from __future__ import annotations

from service.access.addresses import caller
from service.errors import UnknownJob
from service.jobs.visibility import Sight
from service.web.addresses import client_ip, peer_uid
from service.web.request import Request


def sees(request: Request, job_id: str) -> bool:
    """Whether the caller may know of that job. A request for a job of another principal is audited.

    Raises: Unavailable.
    """
    sight = request.app.ctx.engine.jobs.sight(job_id, request.principal.visibility)
    if sight is Sight.FOREIGN:
        audit(request, "refuse", job_id, code="foreign_job")
    return sight is Sight.SEEN


def check_sees(request: Request, job_id: str) -> None:
    """Raises: UnknownJob, for a foreign job as for one that doesn't exist; Unavailable."""
    if not sees(request, job_id):
        raise UnknownJob(job_id)


def audit(
    request: Request,
    action: str,
    job_id: str | None,
    *,
    code: str | None = None,
    of_file: bool = False,
    always: bool = False,
) -> None:
    """One line in the audit log; within the bounds of the caller, unless it is written `always`.
    `of_file`: the path of the request tells which file it is about.
    """
    principal = request.principal
    audit_log = request.app.ctx.admission.audit_log
    ip, uid = client_ip(request), peer_uid(request)
    fields = {
        "principal": principal.name,
        "token": principal.token,
        "client_ip": ip,
        "uid": uid,
    }
    if job_id is not None:
        fields |= {"job": job_id}
    if code is not None:
        fields |= {"code": code}
    if code is not None or of_file:
        fields |= {"request": f"{request.method} {request.path}"}
    if always:
        audit_log.always(action, **fields)
    else:
        audit_log.add(principal.name or caller(ip, uid), action, **fields)
