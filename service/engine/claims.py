"""What the supervisor is told of a job before its first command: its place among those who wait,
and how long it may.
"""

from __future__ import annotations

import time
from typing import Any

from service.jobs.errors import Place
from service.jobs.record import JobRecord
from service.jobs.spec import JobSpec
from service.settings import Settings
from service.supervisor.abilities import IDLE_TIMEOUT, PRIORITY, QUEUE_TIMEOUT, RUN_AS
from service.supervisor.protocol import Message


def claim_message(job_id: str, spec: JobSpec, *, owner: str | None) -> Message:
    """The message `claim` for a new job. `owner` is the principal that submitted it."""
    message: dict[str, Any] = {"t": "claim", "job": job_id}
    if owner is not None:
        message["owner"] = owner
    if spec.priority:
        message["priority"] = spec.priority
    if spec.queue_timeout_s:
        message |= {"queue_s": spec.queue_timeout_s, "grace_s": spec.grace_s}
    return message


def claim_again(record: JobRecord, spec: JobSpec) -> Message:
    """The same for a job that is stored; it has waited since it was submitted."""
    message = claim_message(record.id, spec, owner=record.owner)
    if spec.queue_timeout_s:
        # One that is overdue is ended once it is claimed.
        message["queue_s"] = max(0.0, overdue_at(record, spec) - time.time_ns()) / 1e9
    return {**message, "stored": True}


def is_overdue(record: JobRecord, spec: JobSpec, at: int) -> bool:
    """Whether a pending job has waited for longer than it may."""
    return bool(spec.queue_timeout_s) and at >= overdue_at(record, spec)


def overdue_at(record: JobRecord, spec: JobSpec) -> int:
    """When a pending job has waited for too long."""
    return record.created_at + round(spec.queue_timeout_s * 1e9)


def beyond(spec: JobSpec, settings: Settings, hello: Message) -> list[Place]:
    """What the supervisor that said `hello` can't do: an older release would pass it over."""
    asked = {
        IDLE_TIMEOUT: ("/IdleTimeout", spec.idle_timeout_s),
        QUEUE_TIMEOUT: ("/QueueTimeout", spec.queue_timeout_s),
        PRIORITY: ("/Priority", spec.priority),
        RUN_AS: ("", settings.run_as),
    }
    known = hello.get("can", ())
    why = (
        "can't be kept: the supervisor that runs is of an older release"
        " (`jobrunner supervisor upgrade` makes it the installed one)"
    )
    return [
        Place(pointer, why)
        for what, (pointer, value) in asked.items()
        if value and what not in known
    ]
