"""What the supervisor does on each message: one function per message type, and their table.

A message is checked against its type before its function is called. Each function runs in one
callback of the loop.
"""

from __future__ import annotations

import os
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from signal import SIGKILL
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from service.host.event_log import log_event
from service.host.procfs import look_at
from service.link import to_supervisor as messages
from service.link.protocol import PROTOCOL
from service.link.to_supervisor import MAX_INPUT_BYTES
from service.link.validation import InvalidMessage, checker
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.input import Taken
from service.supervisor.job.runner import Job
from service.supervisor.orphaned_log import close_orphaned_log

if TYPE_CHECKING:
    from service.link.from_supervisor import (
        AnyReply,
        ClaimReply,
        EndKeptReply,
        InputReply,
        KillReceipt,
        PriorityReply,
        ProcessesReply,
        Reply,
        ResizeReply,
        SignalReply,
        UsageNow,
        UsageReply,
        WaitsReply,
    )
    from service.supervisor.connection import Connection
    from service.supervisor.server import Server

M = TypeVar("M")
_Request: TypeAlias = (
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
# Checks a message, and acts on it.
_Row: TypeAlias = "tuple[Callable[[Mapping[str, Any]], None], Callable[..., None]]"


def handle(server: Server, connection: Connection, message: Mapping[str, Any]) -> None:
    """Act on a message. Raises: InvalidMessage, and then nothing has changed."""
    try:
        check, handler = _TABLE[message["type"]]
    except KeyError:
        raise InvalidMessage(f"no message has the type {message['type'][:40]!r}") from None
    check(message)
    handler(server, connection, message)


def _hello(server: Server, connection: Connection, message: messages.Hello) -> None:
    if message["protocol"] != PROTOCOL:
        raise InvalidMessage(
            f"hello: protocol {message['protocol']}; this supervisor speaks {PROTOCOL}"
        )
    if message["role"] == "worker":
        if "max_running" not in message or "max_pending" not in message:
            raise InvalidMessage("hello: a worker says `max_running` and `max_pending`")
        server.set_bounds(max_running=message["max_running"], max_pending=message["max_pending"])
    connection.pid = message["pid"]
    server.joined(connection, message["role"], heartbeats=message.get("heartbeats", False))


def _heartbeat(server: Server, connection: Connection, _message: messages.Heartbeat) -> None:
    server.silence.heartbeat(connection)


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
    _reply(connection, message, reply)


def _start(server: Server, connection: Connection, message: messages.Start) -> None:
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
    _reply(connection, message, _plain_reply(message, ok=entry is not None))


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
    _reply(connection, message, reply)


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
        _reply(connection, message, reply)

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
        entry.job.terminal.resize(message["rows"], message["cols"])
        reply["ok"] = True
    _reply(connection, message, reply)


def _make_log(server: Server, connection: Connection, message: messages.MakeLog) -> None:
    why = None
    if (entry := server.register.get(message["job"])) is not None:
        try:
            entry.job.make_log()
        except OSError as exc:
            why = os.strerror(exc.errno or 0)
    reply = _plain_reply(message, ok=entry is not None and why is None, why=why)
    _reply(connection, message, reply)


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
    _reply(connection, message, reply)


def _unhold(server: Server, connection: Connection, message: messages.Unhold) -> None:
    entry = server.register.get(message["job"])
    if entry is not None and server.register.unhold(entry):
        server.emit(entry.job, {"name": "released", "at": time_ns()})
        server.grant_slots()
    _reply(connection, message, _plain_reply(message, ok=entry is not None))


def _measure_usage(server: Server, connection: Connection, message: messages.MeasureUsage) -> None:
    request_id = message.get("request_id", 0)

    def done(usage: dict[str, UsageNow]) -> None:
        reply: UsageReply = {"type": "reply", "request_id": request_id, "ok": True, "usage": usage}
        _reply(connection, message, reply)

    entries = map(server.register.get, message["jobs"])
    server.measuring.request([e.job for e in entries if e is not None], done)


def _list_processes(
    server: Server, connection: Connection, message: messages.ListProcesses
) -> None:
    entry = server.register.get(message["job"])
    request_id = message.get("request_id", 0)
    found = server.runtime.kept.members(message["job"])
    if entry is not None:
        found = [p for pid in entry.job.pids() if (p := look_at(pid)) and not p.is_dead]
    reply: ProcessesReply = {"type": "reply", "request_id": request_id, "ok": found is not None}
    if found is not None:
        reply["processes"] = [(p.pid, p.started) for p in found]
    _reply(connection, message, reply)


def _waits_for_input(
    server: Server, connection: Connection, message: messages.WaitsForInput
) -> None:
    entry, request_id = server.register.get(message["job"]), message.get("request_id", 0)
    has_input = entry is not None and entry.job.has_input
    reply: WaitsReply = {"type": "reply", "request_id": request_id, "ok": has_input}
    waits = entry.job.waits_for_input() if entry is not None and has_input else None
    if waits is not None:
        reply["waits"] = waits
    _reply(connection, message, reply)


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


def _close_orphaned_log(
    server: Server, connection: Connection, message: messages.CloseOrphanedLog
) -> None:
    state_dir, request_id = server.runtime.state_dir, message.get("request_id", 0)
    kept, job_id = server.runtime.kept, message["job"]
    # Its supervisor died before anybody had stored that it was over: it is lost as a whole.
    request = KillRequest(SIGKILL, 0, "lost", time_ns())
    kept.end(job_id, request, lambda *_: kept.forget(job_id))
    _reply(connection, message, close_orphaned_log(state_dir, message["job"], request_id))


def _end_kept(server: Server, connection: Connection, message: messages.EndKept) -> None:
    reply: EndKeptReply = {"type": "reply", "request_id": message.get("request_id", 0), "ok": False}

    def done(receipt: KillReceipt, is_gone: bool) -> None:  # noqa: FBT001 - see Done
        reply["ok"], reply["kill"], reply["is_gone"] = True, receipt, is_gone
        _reply(connection, message, reply)
        server.exit_if_done()

    request = KillRequest(
        message["signal"], message["grace_s"], message["reason"], message["requested_at"]
    )
    if not server.runtime.kept.end(message["job"], request, done):
        _reply(connection, message, reply)


def _shutdown(server: Server, connection: Connection, message: messages.Shutdown) -> None:
    if (drain := server.held_back.drain).since is not None:
        drain.begin(until_start=True)  # the service was told to stop
    server.shutdown.by_message(connection, message)
    server.exit_if_done()


def _drain(server: Server, connection: Connection, message: messages.Drain) -> None:
    server.held_back.begin(connection, message)


def _resume(server: Server, connection: Connection, message: messages.Resume) -> None:
    server.held_back.end(at_start=message["at_start"])
    _reply(connection, message, _plain_reply(message, ok=True))


def _exit_if_idle(server: Server, _connection: Connection, _message: messages.ExitIfIdle) -> None:
    server.exit_if_idle()


def _upgrade(server: Server, connection: Connection, message: messages.Upgrade) -> None:
    why = server.ask_for_upgrade(connection, message)
    if why is not None:
        _reply(connection, message, _plain_reply(message, ok=False, why=why))


def _plain_reply(message: _Request, *, ok: bool, why: str | None = None) -> Reply:
    reply: Reply = {"type": "reply", "request_id": message.get("request_id", 0), "ok": ok}
    if why is not None:
        reply["why"] = why
    return reply


def _reply(connection: Connection, message: _Request, reply: AnyReply) -> None:
    if "request_id" in message:
        connection.send(reply)


def _entry(message_type: type[M], handler: Callable[[Server, Connection, M], None]) -> _Row:
    """A row of the table: mypy sees that the function takes the messages that are checked."""
    return checker(message_type), handler


_TABLE: Final[dict[str, _Row]] = {
    "hello": _entry(messages.Hello, _hello),
    "heartbeat": _entry(messages.Heartbeat, _heartbeat),
    "claim": _entry(messages.Claim, _claim),
    "start": _entry(messages.Start, _start),
    "kill": _entry(messages.Kill, _kill),
    "signal": _entry(messages.SendSignal, _signal),
    "input": _entry(messages.WriteInput, _write_input),
    "resize": _entry(messages.Resize, _resize),
    "make_log": _entry(messages.MakeLog, _make_log),
    "set_priority": _entry(messages.SetPriority, _set_priority),
    "unhold": _entry(messages.Unhold, _unhold),
    "measure_usage": _entry(messages.MeasureUsage, _measure_usage),
    "list_processes": _entry(messages.ListProcesses, _list_processes),
    "waits_for_input": _entry(messages.WaitsForInput, _waits_for_input),
    "ack": _entry(messages.Ack, _ack),
    "release": _entry(messages.Release, _release),
    "publish": _entry(messages.Publish, _publish),
    "close_orphaned_log": _entry(messages.CloseOrphanedLog, _close_orphaned_log),
    "end_kept": _entry(messages.EndKept, _end_kept),
    "shutdown": _entry(messages.Shutdown, _shutdown),
    "drain": _entry(messages.Drain, _drain),
    "resume": _entry(messages.Resume, _resume),
    "exit_if_idle": _entry(messages.ExitIfIdle, _exit_if_idle),
    "upgrade": _entry(messages.Upgrade, _upgrade),
}
