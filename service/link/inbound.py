"""What a service process makes of a message of the supervisor: one that its types declare.

What can't be understood becomes a `Rejected`, which names the job that it is about, so that the
worker can end that job instead of waiting for what will never come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from service.link.from_supervisor import (
    Adopt,
    JobChanged,
    Notification,
    Rejected,
    SlotGranted,
    SlotRevoked,
    SupervisorHello,
)
from service.link.job_events import (
    EndedEvent,
    FinishedEvent,
    KillRequestedEvent,
    RefusedEvent,
    ReleasedEvent,
    StartedEvent,
    UnknownEvent,
)
from service.link.validation import InvalidMessage, checker

_CHECKS: Final[dict[str, Callable[[Mapping[str, Any]], None]]] = {
    "adopt": checker(Adopt, but=("events",)),
    "slot_granted": checker(SlotGranted),
    "slot_revoked": checker(SlotRevoked),
    "job_changed": checker(JobChanged),
    "rejected": checker(Rejected),
}
_EVENT_CHECKS: Final = {
    "started": checker(StartedEvent),
    "released": checker(ReleasedEvent),
    "refused": checker(RefusedEvent),
    "kill_requested": checker(KillRequestedEvent),
    "ended": checker(EndedEvent),
    "finished": checker(FinishedEvent),
    "unknown": checker(UnknownEvent),
}

check_hello: Final = checker(SupervisorHello)


def notification(message: dict[str, Any]) -> Notification | None:
    """The message as its type; None: it is of a type that this release doesn't know."""
    message_type = message["type"]
    try:
        if message_type == "event":
            _check_event(message)
        elif message_type in _CHECKS:
            _CHECKS[message_type](message)
            for event in message["events"] if message_type == "adopt" else ():
                _check_event(event)
        else:
            return None
    except InvalidMessage as exc:
        return _rejected(message, str(exc))
    return cast("Notification", message)


def _check_event(event: Any) -> None:
    """Raises: InvalidMessage."""
    if not isinstance(event, dict) or event.get("type") != "event":
        raise InvalidMessage("an event is no event")
    name = event.get("name")
    if not isinstance(name, str):
        raise InvalidMessage("event: `name`: expected a string")
    if name not in _EVENT_CHECKS:
        event["name"] = name = "unknown"
    _EVENT_CHECKS[name](event)


def _rejected(message: dict[str, Any], error: str) -> Rejected:
    rejected: Rejected = {"type": "rejected", "rejected": message["type"], "error": error}
    if isinstance(job_id := message.get("job"), str):
        rejected["job"] = job_id
    return rejected
