"""What a job reads: pieces of its input, the size of its terminal, whether it waits for input."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from typing import TYPE_CHECKING, Final

from service.link import to_supervisor as messages
from service.link.to_supervisor import MAX_INPUT_BYTES
from service.link.validation import InvalidMessage
from service.supervisor.handlers.checked import Table, row
from service.supervisor.handlers.replies import send_reply
from service.supervisor.job.input import Taken

if TYPE_CHECKING:
    from service.link.from_supervisor import InputReply, ResizeReply, WaitsReply
    from service.supervisor.connection import Connection
    from service.supervisor.server import Server


def _write_input(server: Server, connection: Connection, message: messages.WriteInput) -> None:
    try:
        data = b64decode(message["data"], validate=True)
    except (NotBase64, ValueError):
        raise InvalidMessage("input: `data` is no base64") from None
    if len(data) > MAX_INPUT_BYTES:
        raise InvalidMessage(f"input: `data` has more than {MAX_INPUT_BYTES} bytes")
    request_id = message.get("request_id", 0)

    def done(taken: Taken) -> None:
        reply: InputReply = {"type": "reply", "request_id": request_id, "ok": taken.why is None}
        reply["offset"] = taken.offset
        if taken.why is not None:
            reply["why"] = taken.why
        send_reply(connection, message, reply)

    entry, end = server.register.get(message["job"]), message.get("end", False)
    if entry is None:
        done(Taken(0, "unknown_job"))
    else:
        entry.job.write_input(data, message.get("offset"), done, end=end)


def _resize(server: Server, connection: Connection, message: messages.Resize) -> None:
    entry, request_id = server.register.get(message["job"]), message.get("request_id", 0)
    reply: ResizeReply = {"type": "reply", "request_id": request_id, "ok": False}
    if entry is None:
        reply["why"] = "unknown_job"
    elif entry.job.is_finished:
        reply["why"] = "ended"
    else:
        entry.job.stdin.terminal.resize(message["rows"], message["cols"])
        reply["ok"] = True
    send_reply(connection, message, reply)


def _waits_for_input(
    server: Server, connection: Connection, message: messages.WaitsForInput
) -> None:
    entry, request_id = server.register.get(message["job"]), message.get("request_id", 0)
    has_input = entry is not None and entry.job.stdin.input is not None
    reply: WaitsReply = {"type": "reply", "request_id": request_id, "ok": has_input}
    waits = entry.job.waits_for_input() if entry is not None and has_input else None
    if waits is not None:
        reply["waits"] = waits
    send_reply(connection, message, reply)


TABLE: Final[Table] = {
    "input": row(messages.WriteInput, _write_input),
    "resize": row(messages.Resize, _resize),
    "waits_for_input": row(messages.WaitsForInput, _waits_for_input),
}
