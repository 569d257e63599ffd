"""The messages about a job before its first command: its claim, with its place in the run queue and
how long it may wait there, and its kill.
"""

from __future__ import annotations

import time

from service.jobs.ceilings import NO_CEILINGS, Ceilings
from service.jobs.record import JobRecord, Kill, signal_number
from service.jobs.spec import JobSpec
from service.link.from_supervisor import ClaimReply
from service.link.to_supervisor import Claim
from service.link.to_supervisor import Kill as KillMessage
from service.settings import Settings


def claim_message(
    job_id: str, spec: JobSpec, *, principal: str | None, ceilings: Ceilings = NO_CEILINGS
) -> Claim:
    """The message `claim` for a new job that `principal` submitted."""
    message: Claim = {"type": "claim", "job": job_id}
    if principal is not None:
        message["principal"] = principal
        if ceilings.pending:
            message["max_pending"] = ceilings.pending
        if ceilings.running:
            message["max_running"] = ceilings.running
    if spec.priority:
        message["priority"] = spec.priority
    if spec.hold:
        message["held"] = True
    if spec.queue_timeout_s:
        message["queue_timeout_s"] = spec.queue_timeout_s
        message["grace_s"] = spec.grace_s
    return message


def reclaim_message(record: JobRecord, spec: JobSpec) -> Claim:
    """The same for a job that is stored; it has waited since it was submitted."""
    ceilings = Ceilings(running=record.max_running)
    message = claim_message(record.id, spec, principal=record.principal, ceilings=ceilings)
    if spec.queue_timeout_s:
        # One that is overdue is ended once it is claimed.
        # The wall clock is the only one that goes on over a boot; it may have been set back.
        rest_s = (overdue_at(record, spec) - time.time_ns()) / 1e9
        message["queue_timeout_s"] = min(max(0.0, rest_s), spec.queue_timeout_s)
    if record.is_released:
        message.pop("held", None)
    if record.priority is not None:
        message["priority"], message["priority_changes"] = record.priority, record.priority_changes
    message["stored"], message["dispatched"] = True, record.dispatched
    return message


def kill_messages(job_id: str, kill: Kill) -> list[KillMessage]:
    """The messages `kill` for one that stands in the records; each may have been sent."""
    return [
        {
            "type": "kill",
            "job": job_id,
            "signal": signal_number(request.signal),
            "grace_s": request.grace_s,
            "requested_at": request.requested_at,
            "reason": kill.reason.value,
            "is_repeat": True,
        }
        for request in kill.requests
    ]


def is_overdue(record: JobRecord, spec: JobSpec, at: int) -> bool:
    """Whether a pending job has waited for longer than it may."""
    return bool(spec.queue_timeout_s) and at >= overdue_at(record, spec)


def overdue_at(record: JobRecord, spec: JobSpec) -> int:
    """When a pending job has waited for too long."""
    return record.created_at + round(spec.queue_timeout_s * 1e9)


def too_many_pending(
    reply: ClaimReply, settings: Settings, principal: str | None, ceilings: Ceilings
) -> str | None:
    """What a claim that was refused for the jobs that are pending already has to say; None when it
    was refused for something else.
    """
    match reply.get("why"):
        case "queue_full":
            return f"{settings.max_pending} jobs are pending, the most that may be."
        case "fair_share":
            return (
                f"Of the {settings.max_pending} jobs that may be pending, those of {principal!r}"
                " are as many as are left for all others."
            )
        case "principal_limit":
            return (
                f"{ceilings.pending} jobs of {principal!r} are pending, the ceiling of this token."
            )
        case _:
            return None
