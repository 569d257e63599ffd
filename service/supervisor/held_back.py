"""The requests for a drain, and who waits until no job runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from service.supervisor.drain import Drain

if TYPE_CHECKING:
    from service.link.from_supervisor import DrainingChanged, DrainReply
    from service.link.to_supervisor import Drain as DrainMessage
    from service.supervisor.connection import Connection
    from service.supervisor.register import Entry, Register


class HeldBack:
    """The jobs of a register that are held back by a `drain`, if there is one. `on_ended` is called
    when a drain has ended.
    """

    def __init__(
        self,
        drain: Drain,
        register: Register[Connection],
        connections: set[Connection],
        on_ended: Callable[[], None],
    ) -> None:
        self.drain = drain
        self._register = register
        self._connections = connections
        self._on_ended = on_ended
        self._waiting: list[tuple[Connection, int]] = []

    def begin(self, connection: Connection, message: DrainMessage) -> None:
        """Begin to hold jobs back; the reply comes at once, or when no job runs."""
        self.drain.begin(until_start=message["until_start"])
        for entry in self._register:
            if entry.has_slot and entry.worker is None and entry.job.machine.dispatched < 0:
                self._register.wait_again(entry)  # nobody was there to start it
        self._tell_workers()
        if (request_id := message.get("request_id")) is None:
            return
        if message.get("wait", False):
            self._waiting.append((connection, request_id))
            self.answer_if_done()
        else:
            self._reply(connection, request_id, ok=True)

    def end(self, *, at_start: bool) -> None:
        """End the drain; `at_start`: only if it lasts until the next start of the service."""
        if self.drain.since is None or (at_start and not self.drain.until_start):
            return
        self.drain.end()
        self._tell_workers()
        self._answer(ok=False)
        self._on_ended()

    def answer_if_done(self) -> None:
        """Answer those who wait if no job runs any more."""
        if self._waiting and not self._running():
            self._answer(ok=True)

    def closed(self, connection: Connection) -> None:
        """It waits no more."""
        self._waiting = [each for each in self._waiting if each[0] is not connection]

    def _running(self) -> int:
        has_workers = any(connection.role == "worker" for connection in self._connections)

        def runs(entry: Entry[Connection]) -> bool:
            if entry.job.is_finished:  # its outcome isn't stored yet
                return has_workers and entry.job.machine.dispatched >= 0
            return entry.has_slot or entry.job.machine.dispatched >= 0

        return sum(map(runs, self._register))

    def _answer(self, *, ok: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for connection, request_id in waiting:
            self._reply(connection, request_id, ok=ok)

    def _reply(self, connection: Connection, request_id: int, *, ok: bool) -> None:
        reply: DrainReply = {
            "type": "reply",
            "request_id": request_id,
            "ok": ok,
            "running": self._running(),
            "pending": self._register.waiting,
        }
        connection.send(reply)

    def _tell_workers(self) -> None:
        changed: DrainingChanged = {"type": "draining_changed", "since": self.drain.since}
        for connection in self._connections:
            if connection.role in ("worker", None):  # one without a role may become a worker
                connection.send(changed)
