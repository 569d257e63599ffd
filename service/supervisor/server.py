"""The register, the connections, and the messages between them.

Each message is handled in one callback of the loop (`service.supervisor.handlers`). When a
connection closes, its jobs, pending ones too, go to another worker, or to the next that connects.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import service
from service.host.event_log import log_event
from service.link.capabilities import CAPABILITIES
from service.link.protocol import PROTOCOL
from service.link.validation import InvalidMessage
from service.supervisor.claims import Claims
from service.supervisor.connection import Connection
from service.supervisor.drain import Drain
from service.supervisor.handlers.table import handle
from service.supervisor.held_back import HeldBack
from service.supervisor.job.handover import resume_job, snapshot_of
from service.supervisor.job.limits import why_not
from service.supervisor.job.runner import Job
from service.supervisor.measuring import Measuring
from service.supervisor.register import Entry, Register
from service.supervisor.shutdown import Shutdown
from service.supervisor.silence import SilenceDetector
from service.supervisor.upgrade import Trial

if TYPE_CHECKING:
    import asyncio

    from service.link.from_supervisor import Adopt, JobChanged, Rejected, Reply, SupervisorHello
    from service.link.job_events import EventBody
    from service.link.to_supervisor import Role, Upgrade
    from service.supervisor.job.runtime import Runtime
    from service.supervisor.snapshot import RegisterSnapshot, Snapshot

# Seconds without a connection after which an idle supervisor exits.
IDLE_S: Final = 5.0


class Server:
    """What service processes speak with."""

    def __init__(
        self,
        runtime: Runtime,
        snapshot: Snapshot,
        *,
        stay: bool,
        take_snapshot: Callable[[RegisterSnapshot], Snapshot],
        become: Callable[[Snapshot], None],
    ) -> None:
        """`snapshot`: the first one, or that of the previous image of this process. `take_snapshot`
        returns one of the whole process. `become` executes the new code, which goes on with it; it
        never returns, or raises OSError when nothing has changed.
        """
        self.runtime = runtime
        self.register: Register[Connection] = Register()
        self.measuring = Measuring(runtime.loop)
        drain = Drain(snapshot.socket.directory)
        self.claims = Claims(self.register, runtime.descriptors, drain)
        self.silence = SilenceDetector(runtime.loop, self._drop)
        self.ended: asyncio.Future[None] = runtime.loop.create_future()
        self._nonce = snapshot.nonce
        self._stay = stay
        self._upgrades = snapshot.upgrades
        self._connections: set[Connection] = set()
        self.held_back = HeldBack(drain, self.register, self._connections, self.grant_slots)
        self.shutdown = Shutdown(
            self.register,
            self._connections,
            self._hand_over,
            # In the next turn of the loop, so that the reply is on its way.
            lambda: runtime.loop.call_soon(self._end),
            runtime.together,
        )
        self._idle: asyncio.TimerHandle | None = None
        self._trial = Trial(runtime.loop)
        self._take_snapshot = take_snapshot
        self._become = become
        self.register.resume(snapshot.register, lambda job: resume_job(job, runtime))
        self.exit_if_done()

    # Connections

    def opened(self, connection: Connection) -> None:
        if self.ended.done():
            connection.abort()  # an end of stream before hello: the peer starts another
            return
        self._connections.add(connection)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        hello: SupervisorHello = {
            "type": "hello",
            "protocol": PROTOCOL,
            "version": service.__version__,
            "nonce": self._nonce,
            "upgrades": self._upgrades,
            "pid": os.getpid(),
            "capabilities": CAPABILITIES,
            "unsupported_limits": why_not(self.runtime.controllers),
            "jobs": self.register.ids(),
        }
        if (since := self.held_back.drain.since) is not None:
            hello["draining"] = since
        connection.send(hello)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.silence.closed(connection)
        self.held_back.closed(connection)
        goes_on = self.shutdown.closed(connection)
        workers = [c for c in self._connections if c.role == "worker"]
        for number, entry in enumerate(self.register.driven_by(connection)):
            self._hand_over(entry, workers[number % len(workers)] if workers else None)
        if goes_on:
            self.grant_slots()
        self.exit_if_done()

    def received(self, connection: Connection, message: Mapping[str, Any]) -> None:
        try:
            handle(self, connection, message)
        except InvalidMessage as exc:
            self._reject(connection, message, str(exc))
        except Exception as exc:  # noqa: BLE001 - else the sender would wait for ever
            log_event("message_failed", level="error", trace=traceback.format_exception(exc))
            self._reject(connection, message, f"{type(exc).__name__} in the supervisor")

    def _reject(self, connection: Connection, message: Mapping[str, Any], error: str) -> None:
        log_event("message_rejected", pid=connection.pid, error=error)
        rejected: Rejected = {"type": "rejected", "rejected": message["type"], "error": error}
        if type(request_id := message.get("request_id")) is int:
            rejected["request_id"] = request_id
        if isinstance(job_id := message.get("job"), str):
            rejected["job"] = job_id
        connection.send(rejected)

    def joined(self, connection: Connection, role: Role, *, heartbeats: bool) -> None:
        """A connection has said what it is. A worker is handed the jobs that no worker drives."""
        connection.role = role
        if heartbeats:
            self.silence.joined(connection)
        if role == "worker":
            for entry in self.register.driven_by(None):
                self._hand_over(entry, connection)
            self.grant_slots()

    def set_bounds(self, *, max_running: int, max_pending: int) -> None:
        """How many jobs may have a run slot, and how many may wait for one (0: any number)."""
        self.register.max_running = max_running
        self.claims.max_pending = max_pending

    def publish(self, connection: Connection, job_id: str, state: str) -> None:
        """Tell every worker but this one that a job's record has changed."""
        changed: JobChanged = {"type": "job_changed", "job": job_id, "state": state}
        for other in self._connections:
            # One that hasn't said what it is may be a worker, and has our hello: it reads the
            # records as they were then, and hears of what changes since.
            if other is not connection and other.role in ("worker", None):
                other.send(changed)

    def _hand_over(self, entry: Entry[Connection], worker: Connection | None) -> None:
        entry.worker = worker
        if worker is None:
            return
        adopt: Adopt = {
            "type": "adopt",
            "job": entry.job.id,
            "has_slot": entry.has_slot,
            "dispatched": entry.job.machine.dispatched,
            "is_recovered": entry.is_recovered,
            "events": list(entry.events),
        }
        worker.send(adopt)
        self.shutdown.handed_over(entry)

    def _drop(self, connection: Connection) -> None:
        """Its jobs go to others. When it wakes it finds itself without a connection."""
        log_event("worker_silent", level="error", pid=connection.pid)
        connection.abort()

    # Jobs

    def emit(self, job: Job, body: EventBody) -> None:
        """Tell the worker that drives the job."""
        entry = self.register.get(job.id)
        if entry is None:
            return
        event = self.register.record(entry, body)
        if entry.worker is not None:
            # Nobody is shown output of a job before its start is stored: that may wait. Output of
            # a later command is shown as it comes.
            can_wait = body["name"] == "started" and not body["command"]
            entry.worker.send(event, can_wait=can_wait)
        if body["name"] == "finished":
            self.register.free_slot(entry)
            self.grant_slots()
            self.exit_if_done()

    def grant_slots(self) -> None:
        """Grant the run slots that are free."""
        for entry in self.register.grant_slots(self.claims.may_run):
            if entry.worker is not None:
                entry.worker.send({"type": "slot_granted", "job": entry.job.id})

    # Upgrade

    def ask_for_upgrade(self, connection: Connection, message: Upgrade) -> str | None:
        """Become the code that is installed now, once a trial shows that it can take over; why
        that can't be tried, or None.
        """
        if self.shutdown.is_under_way:
            return "the supervisor is ending"
        try:
            snapshot = self._take_snapshot(self.register.snapshot(snapshot_of))
            self._trial.request(connection, message, snapshot)
        except OSError as exc:
            return f"the installed code can't be tried: {os.strerror(exc.errno or 0)}"
        return None

    def trial_ended(self, pid: int, status: int) -> bool:
        """A child that isn't a command has died; True if it was a trial of new code."""
        askers = self._trial.ended(pid)
        if askers is None:
            return False
        ok = status == 0 and not self.shutdown.is_under_way and not self.ended.done()
        log_event("upgrade_tried", ok=ok, status=status)
        for connection, message in askers:
            if (request_id := message.get("request_id")) is not None:
                reply: Reply = {"type": "reply", "request_id": request_id, "ok": ok}
                if not ok:
                    reply["why"] = f"the installed code can't take over (exit status {status})"
                connection.send(reply)
        if ok:
            # In the next turn of the loop: others that were reaped with it are told of first.
            self.runtime.loop.call_soon(self._upgrade, [connection for connection, _ in askers])
        return True

    def _upgrade(self, askers: list[Connection]) -> None:
        if self.shutdown.is_under_way or self.ended.done():
            return  # since the trial
        for connection in self._connections:
            connection.flush()
        try:
            self._become(self._take_snapshot(self.register.snapshot(snapshot_of)))
        except OSError as exc:
            log_event("upgrade_failed", level="error", error=str(exc))
            for connection in askers:
                connection.abort()  # it connects again, and finds the old code

    # The end

    def told_to_end(self, grace_s: float) -> None:
        """End every job that runs and then this process, as a signal asked."""
        self.shutdown.by_signal(grace_s)
        self.exit_if_done()

    def exit_if_idle(self) -> None:
        """A newer release wants to start its own supervisor."""
        if not len(self.register):
            log_event("supervisor_exits_idle")
            self._end()

    def exit_if_done(self) -> None:
        """Exit when nothing is left to stay for: at once after a shutdown, else after a while."""
        if self.ended.done():
            return
        self.held_back.answer_if_done()
        if self.shutdown.is_under_way:
            self.shutdown.end_if_done()
        elif not (
            self._connections
            or len(self.register)
            or self._stay
            or self._idle is not None
            or self.runtime.kept.is_ending
        ):
            self._idle = self.runtime.loop.call_later(IDLE_S, self._end)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
