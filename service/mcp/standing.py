"""How a job stands, from its view."""

from __future__ import annotations

from typing import Final

from service.jobs.views import JobView
from service.mcp.answers import KillReceipt, Listed, Status, shortened

_MAX_NAME: Final = 100
_MAX_COMMAND: Final = 200


def status_of(view: JobView) -> Status:
    """What every answer says of a job."""
    return Status(
        job=view.id,
        name=_name(view),
        state=view.state,
        exit_code=view.exit_code,
        signal=view.signal,
        reason=view.reason,
        error=None if view.error is None else shortened(view.error),
        output_bytes=view.output.bytes,
    )


def listed(view: JobView) -> Listed:
    """What a list says of it."""
    first = view.commands[0] if view.commands else {}
    command = first.get("CommandLine") or " ".join(first.get("Arguments") or ())
    return Listed(
        job=view.id,
        name=_name(view),
        state=view.state,
        exit_code=view.exit_code,
        created_at=view.created_at,
        command=shortened(command, _MAX_COMMAND),
        output_bytes=view.output.bytes,
    )


def receipt_of(view: JobView) -> KillReceipt | None:
    """The receipt of its kill, if there was one."""
    if (kill := view.kill) is None:
        return None
    return KillReceipt(
        signals=kill.signals,
        grace_s=kill.grace,
        processes_found=kill.found,
        needed_kill_signal=kill.escalated,
        all_gone=kill.verified_gone,
    )


def _name(view: JobView) -> str | None:
    return None if view.name is None else shortened(view.name, _MAX_NAME)
