"""A supervisor that was told to end: jobs that run are killed, those that wait stay pending.

A job that waits for a slot is forgotten: its record says that it is pending, and the next
supervisor has it claimed. One that had a slot may be recorded as dispatched. Its worker is told
that nothing was started (`slot_revoked`), stores that, and releases it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from service.supervisor.job.phases import Phase

if TYPE_CHECKING:
    from service.link.from_supervisor import Reply
    from service.link.to_supervisor import Shutdown as ShutdownMessage
    from service.supervisor.connection import Connection
    from service.supervisor.register import Entry, Register


class Shutdown:
    """At most one is under way. `hand_over` gives a job to a worker; `end` ends the process;
    `together` is entered while all jobs are signalled.
    """

    def __init__(
        self,
        register: Register[Connection],
        connections: Collection[Connection],
        hand_over: Callable[[Entry[Connection], Connection], None],
        end: Callable[[], object],
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.is_under_way = False
        self._register = register
        self._connections = connections
        self._hand_over = hand_over
        self._end = end
        self._together = together
        # Who waits for the reply to its request; None: a signal asked for it.
        self._connection: Connection | None = None
        self._request_id: int | None = None

    def by_signal(self, grace_s: float) -> None:
        """Begin it; workers store how the jobs ended."""
        if not self.is_under_way:
            self.is_under_way = True
            self._keep_pending()
            for entry in self._register:
                self.handed_over(entry)
            self._kill(grace_s)

    def by_message(self, connection: Connection, message: ShutdownMessage) -> None:
        """The same, asked for by a connection, which drives all jobs from now on."""
        self.is_under_way = True
        self._connection, self._request_id = connection, message.get("request_id")
        self._keep_pending()
        for entry in self._register:
            if entry.worker is not connection:
                self._hand_over(entry, connection)
        self._kill(message["grace_s"])

    def handed_over(self, entry: Entry[Connection]) -> None:
        """The job has another worker, who may have to learn that it stays pending."""
        if self.is_under_way and entry.worker is not None and _is_pending(entry):
            entry.worker.send({"type": "slot_revoked", "job": entry.job.id})

    def closed(self, connection: Connection) -> bool:
        """A connection is gone. True when it was the one that waits for the end: whoever comes now
        may stay.
        """
        if self._connection is not connection:
            return False
        self.is_under_way, self._connection = False, None
        for entry in self._register:
            if _is_pending(entry):
                self._register.wait_again(entry)
        return True

    def end_if_done(self) -> None:
        """End the process when every job that ran is over, and, if there are workers, stored."""
        if self._connections and len(self._register):
            return
        if any(not (entry.job.is_finished or _is_pending(entry)) for entry in self._register):
            return
        if self._connection is not None and self._request_id is not None:
            reply: Reply = {"type": "reply", "request_id": self._request_id, "ok": True}
            self._connection.send(reply)
        self._end()

    def _keep_pending(self) -> None:
        for entry in self._register:
            if _is_pending(entry):
                had_slot = entry.has_slot and entry.worker is not None and not entry.is_recovered
                self._register.free_slot(entry)
                if not had_slot:
                    entry.job.let_go()
                    self._register.release(entry.job.id)

    def _kill(self, grace_s: float) -> None:
        with self._together():
            for entry in self._register:
                if not _is_pending(entry):
                    entry.job.shut_down(grace_s)


def _is_pending(entry: Entry[Connection]) -> bool:
    return entry.job.machine.phase is Phase.PENDING
