"""What the supervisor is told of a job before its first command: its place among those who wait,
and how long it may.
"""

from __future__ import annotations

import time

from service.errors import FieldError
from service.jobs.ceilings import NO_CEILINGS, Ceilings
from service.jobs.record import JobRecord, Kill, signal_number
from service.jobs.spec import JobSpec
from service.link.capabilities import (
    CEILINGS,
    IDLE_TIMEOUT,
    NO_NEW_PRIVS,
    OPTIONS,
    PRIORITY,
    QUEUE_TIMEOUT,
    RUN_AS,
)
from service.link.from_supervisor import ClaimReply, SupervisorHello
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
        message["queue_timeout_s"] = max(0.0, overdue_at(record, spec) - time.time_ns()) / 1e9
    message["stored"], message["dispatched"] = True, record.dispatched
    return message


def kill_message(job_id: str, kill: Kill) -> KillMessage:
    """The message `kill` for one that stands in the records, and may have been sent."""
    return {
        "type": "kill",
        "job": job_id,
        "signal": signal_number(kill.signal),
        "grace_s": kill.grace_s,
        "requested_at": kill.requested_at,
        "reason": kill.reason.value,
        "is_repeat": True,
    }


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


def unsupported(
    spec: JobSpec, settings: Settings, hello: SupervisorHello, ceilings: Ceilings = NO_CEILINGS
) -> list[FieldError]:
    """What the supervisor that said `hello` can't do: an older release would ignore it."""
    asked = {
        IDLE_TIMEOUT: ("/IdleTimeout", spec.idle_timeout_s),
        QUEUE_TIMEOUT: ("/QueueTimeout", spec.queue_timeout_s),
        PRIORITY: ("/Priority", spec.priority),
        RUN_AS: ("", settings.run_as),
        CEILINGS: ("", ceilings.pending or ceilings.running),
        OPTIONS: ("", settings.sandbox != "off"),
        NO_NEW_PRIVS: ("", settings.run_as and not settings.allow_new_privileges),
    }
    known = hello["capabilities"]
    why = (
        "can't be kept: the supervisor that runs is of an older release"
        " (`jobrunner supervisor upgrade` makes it the installed one)"
    )
    return [
        FieldError(pointer, why)
        for what, (pointer, value) in asked.items()
        if value and what not in known
    ]
