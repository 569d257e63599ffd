"""What jobs use and what they leave: their processes, those that were kept, an orphaned log."""

from __future__ import annotations

from signal import SIGKILL
from time import time_ns
from typing import TYPE_CHECKING, Final

from service.host.procfs import look_at
from service.link import to_supervisor as messages
from service.supervisor.handlers.checked import Table, row
from service.supervisor.handlers.replies import send_reply
from service.supervisor.job.ending import KillRequest
from service.supervisor.orphaned_log import close_orphaned_log

if TYPE_CHECKING:
    from service.link.from_supervisor import EndKeptReply, ProcessesReply, UsageNow, UsageReply
    from service.link.job_events import KillReceipt
    from service.supervisor.connection import Connection
    from service.supervisor.server import Server


def _measure_usage(server: Server, connection: Connection, message: messages.MeasureUsage) -> None:
    request_id = message.get("request_id", 0)

    def done(usage: dict[str, UsageNow]) -> None:
        reply: UsageReply = {"type": "reply", "request_id": request_id, "ok": True, "usage": usage}
        send_reply(connection, message, reply)

    entries = map(server.register.get, message["jobs"])
    server.measuring.request([e.job for e in entries if e is not None], done)


def _list_processes(
    server: Server, connection: Connection, message: messages.ListProcesses
) -> None:
    entry = server.register.get(message["job"])
    request_id = message.get("request_id", 0)
    found = server.runtime.kept.members(message["job"])
    if entry is not None:
        found = [p for pid in entry.job.processes.pids() if (p := look_at(pid)) and not p.is_dead]
    reply: ProcessesReply = {"type": "reply", "request_id": request_id, "ok": found is not None}
    if found is not None:
        reply["processes"] = [(p.pid, p.started) for p in found]
    send_reply(connection, message, reply)


def _close_orphaned_log(
    server: Server, connection: Connection, message: messages.CloseOrphanedLog
) -> None:
    state_dir, request_id = server.runtime.state_dir, message.get("request_id", 0)
    kept, job_id = server.runtime.kept, message["job"]
    # Its supervisor died before anybody had stored that it was over: it is lost as a whole.
    request = KillRequest(SIGKILL, 0, "lost", time_ns())
    kept.end(job_id, request, lambda *_: kept.forget(job_id))
    send_reply(connection, message, close_orphaned_log(state_dir, message["job"], request_id))


def _end_kept(server: Server, connection: Connection, message: messages.EndKept) -> None:
    reply: EndKeptReply = {"type": "reply", "request_id": message.get("request_id", 0), "ok": False}

    def done(receipt: KillReceipt, is_gone: bool) -> None:  # noqa: FBT001 - see Done
        reply["ok"], reply["kill"], reply["is_gone"] = True, receipt, is_gone
        send_reply(connection, message, reply)
        server.exit_if_done()

    request = KillRequest(
        message["signal"], message["grace_s"], message["reason"], message["requested_at"]
    )
    if not server.runtime.kept.end(message["job"], request, done):
        send_reply(connection, message, reply)


TABLE: Final[Table] = {
    "measure_usage": row(messages.MeasureUsage, _measure_usage),
    "list_processes": row(messages.ListProcesses, _list_processes),
    "close_orphaned_log": row(messages.CloseOrphanedLog, _close_orphaned_log),
    "end_kept": row(messages.EndKept, _end_kept),
}
