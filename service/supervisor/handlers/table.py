"""Acts on any message, by one table of all types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from service.link.validation import InvalidMessage
from service.supervisor.handlers import job_input, jobs, processes, supervisor
from service.supervisor.handlers.checked import Table

if TYPE_CHECKING:
    from service.supervisor.connection import Connection
    from service.supervisor.server import Server

TABLE: Final[Table] = {**jobs.TABLE, **job_input.TABLE, **processes.TABLE, **supervisor.TABLE}


def handle(server: Server, connection: Connection, message: Mapping[str, Any]) -> None:
    """Act on a message. Raises: InvalidMessage, and then nothing has changed."""
    try:
        check, handler = TABLE[message["type"]]
    except KeyError:
        raise InvalidMessage(f"no message has the type {message['type'][:40]!r}") from None
    check(message)
    handler(server, connection, message)
