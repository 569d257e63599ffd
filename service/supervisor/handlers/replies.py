"""The replies to requests: a message that has no `request_id` gets none."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from service.link import to_supervisor as messages

if TYPE_CHECKING:
    from service.link.from_supervisor import AnyReply, Reply
    from service.supervisor.connection import Connection

Request: TypeAlias = (
    messages.Claim
    | messages.Kill
    | messages.SendSignal
    | messages.WriteInput
    | messages.Resize
    | messages.MakeLog
    | messages.SetPriority
    | messages.Unhold
    | messages.MeasureUsage
    | messages.ListProcesses
    | messages.WaitsForInput
    | messages.CloseOrphanedLog
    | messages.EndKept
    | messages.Resume
    | messages.Upgrade
)


def plain_reply(message: Request, *, ok: bool, why: str | None = None) -> Reply:
    """One that says nothing more."""
    reply: Reply = {"type": "reply", "request_id": message.get("request_id", 0), "ok": ok}
    if why is not None:
        reply["why"] = why
    return reply


def send_reply(connection: Connection, message: Request, reply: AnyReply) -> None:
    """Send it, if the message is a request."""
    if "request_id" in message:
        connection.send(reply)
