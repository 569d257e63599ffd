"""A job on its way: claimed, started, signalled, killed, released."""

from __future__ import annotations

import os
from time import time_ns
from typing import TYPE_CHECKING, Final

from service.host.event_log import log_event
from service.link import to_supervisor as messages
from service.link.start import Start
from service.link.validation import InvalidMessage
from service.supervisor.handlers.checked import Table, row
from service.supervisor.handlers.replies import plain_reply, send_reply
from service.supervisor.job.runner import Job

if TYPE_CHECKING:
    from service.link.from_supervisor import ClaimReply, PriorityReply, SignalReply
    from service.supervisor.connection import Connection
    from service.supervisor.server import Server


def _claim(server: Server, connection: Connection, message: messages.Claim) -> None:
    if message.get("queue_timeout_s") and "grace_s" not in message:
        raise InvalidMessage("claim: `queue_timeout_s` needs `grace_s`")
    may_run = server.claims.may_run()
    reply: ClaimReply = {"type": "reply", "request_id": message.get("request_id", 0), "ok": False}
    if server.shutdown.is_under_way:
        reply["why"] = "shutting_down"
    elif (refusal := server.claims.refusal(message, may_run=may_run)) is not None:
        reply["why"] = refusal
    else:
        entry = server.register.claim(
            Job(message["job"], server.runtime),
            connection,
            may_run=may_run,
            priority=message.get("priority", 0),
            principal=message.get("principal", ""),
            max_running=message.get("max_running", 0),
            is_held=message.get("held", False),
        )
        # A job of which no command was dispatched can't have run under another supervisor.
        if message.get("stored"):
            entry.job.stopwatch.claimed = 0.0  # it has waited since before
        entry.priority_changes = message.get("priority_changes", 0)
        entry.is_recovered = message.get("stored", False) and message.get("dispatched", 0) >= 0
        if queue_timeout_s := message.get("queue_timeout_s"):
            entry.job.wait_for_slot(queue_s=queue_timeout_s, grace_s=message["grace_s"])
        reply["ok"], reply["has_slot"] = True, entry.has_slot
    send_reply(connection, message, reply)


def _start(server: Server, connection: Connection, message: Start) -> None:
    length = len(message["argv"])
    if message.get("fd_options") and message.get("fd_options_index", length) >= length:
        raise InvalidMessage("start: `fd_options_index` is no item of `argv`")
    if message.get("input_index", 0) >= length:
        raise InvalidMessage("start: `input_index` is no item of `argv`")
    entry = server.register.get(message["job"])
    if entry is not None and entry.worker is connection and entry.has_slot:
        entry.job.start(message)


def _kill(server: Server, connection: Connection, message: messages.Kill) -> None:
    entry = server.register.get(message["job"])
    # One that has come before changes nothing: a second signal means something else to a program.
    if entry is not None:
        entry.job.kill(
            signal=message["signal"],
            grace_s=message["grace_s"],
            reason=message["reason"],
            at=message["requested_at"],
        )
    send_reply(connection, message, plain_reply(message, ok=entry is not None))


def _signal(server: Server, connection: Connection, message: messages.SendSignal) -> None:
    entry, request_id = server.register.get(message["job"]), message.get("request_id", 0)
    foreground = message.get("foreground", False)
    done = (
        "unknown_job"
        if entry is None
        else entry.job.signal(message["signal"], foreground=foreground)
    )
    reply: SignalReply = {"type": "reply", "request_id": request_id, "ok": isinstance(done, int)}
    if isinstance(done, int):
        reply["processes"] = done
    else:
        reply["why"] = done
    send_reply(connection, message, reply)


def _set_priority(server: Server, connection: Connection, message: messages.SetPriority) -> None:
    reply: PriorityReply = {
        "type": "reply",
        "request_id": message.get("request_id", 0),
        "ok": False,
    }
    entry = server.register.get(message["job"])
    if entry is None:
        reply["why"] = "unknown_job"
    elif not server.register.set_priority(entry, message["priority"]):
        reply["why"] = "not_waiting"
    else:
        reply["ok"], reply["changes"] = True, entry.priority_changes
    send_reply(connection, message, reply)


def _unhold(server: Server, connection: Connection, message: messages.Unhold) -> None:
    entry = server.register.get(message["job"])
    if entry is not None and server.register.unhold(entry):
        server.emit(entry.job, {"name": "released", "at": time_ns()})
        server.grant_slots()
    send_reply(connection, message, plain_reply(message, ok=entry is not None))


def _make_log(server: Server, connection: Connection, message: messages.MakeLog) -> None:
    why = None
    if (entry := server.register.get(message["job"])) is not None:
        try:
            entry.job.make_log()
        except OSError as exc:
            why = os.strerror(exc.errno or 0)
    reply = plain_reply(message, ok=entry is not None and why is None, why=why)
    send_reply(connection, message, reply)


def _ack(server: Server, connection: Connection, message: messages.Ack) -> None:
    server.register.acknowledge(message["job"], message["seq"])
    _publish_along(server, connection, message)


def _release(server: Server, connection: Connection, message: messages.Release) -> None:
    _publish_along(server, connection, message)
    entry = server.register.get(message["job"])
    if entry is None or entry.worker is not connection:
        return
    server.register.release(entry.job.id)
    if not entry.job.is_finished and entry.job.machine.dispatched >= 0:
        # Only a job that never ran may be released unfinished (its submission failed).
        log_event("running_job_released", job=entry.job.id)
        entry.job.give_up()
    server.grant_slots()
    server.exit_if_done()


def _publish(server: Server, connection: Connection, message: messages.Publish) -> None:
    server.publish(connection, message["job"], message["state"])


def _publish_along(
    server: Server, connection: Connection, message: messages.Ack | messages.Release
) -> None:
    if "state" in message:
        server.publish(connection, message["job"], message["state"])


TABLE: Final[Table] = {
    "claim": row(messages.Claim, _claim),
    "start": row(Start, _start),
    "kill": row(messages.Kill, _kill),
    "signal": row(messages.SendSignal, _signal),
    "make_log": row(messages.MakeLog, _make_log),
    "set_priority": row(messages.SetPriority, _set_priority),
    "unhold": row(messages.Unhold, _unhold),
    "ack": row(messages.Ack, _ack),
    "release": row(messages.Release, _release),
    "publish": row(messages.Publish, _publish),
}
