"""The supervisor itself: who connects, and when it drains, stops or becomes new code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.link import to_supervisor as messages
from service.link.protocol import PROTOCOL
from service.link.validation import InvalidMessage
from service.supervisor.handlers.checked import Table, row
from service.supervisor.handlers.replies import plain_reply, send_reply

if TYPE_CHECKING:
    from service.supervisor.connection import Connection
    from service.supervisor.server import Server


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


def _shutdown(server: Server, connection: Connection, message: messages.Shutdown) -> None:
    if (drain := server.held_back.drain).since is not None:
        drain.begin(until_start=True)  # the service was told to stop
    server.shutdown.by_message(connection, message)
    server.exit_if_done()


def _drain(server: Server, connection: Connection, message: messages.Drain) -> None:
    server.held_back.begin(connection, message)


def _resume(server: Server, connection: Connection, message: messages.Resume) -> None:
    server.held_back.end(at_start=message["at_start"])
    send_reply(connection, message, plain_reply(message, ok=True))


def _exit_if_idle(server: Server, _connection: Connection, _message: messages.ExitIfIdle) -> None:
    server.exit_if_idle()


def _upgrade(server: Server, connection: Connection, message: messages.Upgrade) -> None:
    why = server.ask_for_upgrade(connection, message)
    if why is not None:
        send_reply(connection, message, plain_reply(message, ok=False, why=why))


TABLE: Final[Table] = {
    "hello": row(messages.Hello, _hello),
    "heartbeat": row(messages.Heartbeat, _heartbeat),
    "shutdown": row(messages.Shutdown, _shutdown),
    "drain": row(messages.Drain, _drain),
    "resume": row(messages.Resume, _resume),
    "exit_if_idle": row(messages.ExitIfIdle, _exit_if_idle),
    "upgrade": row(messages.Upgrade, _upgrade),
}
