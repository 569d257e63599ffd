"""Whether a job would be taken now: each thing that it needs, looked at by itself."""

from __future__ import annotations

from collections.abc import Callable

from service.jobs.errors import JobrunnerError
from service.store import Store


def readiness(
    store: Store, *, is_up: bool, check_room: Callable[[], None]
) -> dict[str, str | None]:
    """By name, what is wrong: a sentence, or None. `is_up`: the supervisor is connected."""
    return {
        "supervisor": None if is_up else "The supervisor can't be reached.",
        "room": _why_not(check_room),
        "records": _why_not(store.check),
    }


def _why_not(check: Callable[[], None]) -> str | None:
    try:
        check()
    except JobrunnerError as exc:
        return exc.detail
    return None
