"""Who is told what: the register, and what the service processes ask and hear.

Each message is handled in one callback. A connection that closes hands its jobs, pending ones too,
to another worker, or to the next that connects.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from typing import Any, Final

import service
from service.files.job import job_files
from service.host.event_log import log_event
from service.link.capabilities import ABILITIES
from service.link.protocol import PROTOCOL, Message
from service.output.writer import LogWriter
from service.supervisor.connection import Connection
from service.supervisor.job.limits import why_not
from service.supervisor.job.runner import JOB_DESCRIPTORS, Host, Job
from service.supervisor.register import Entry, Register
from service.supervisor.silence import Silence
from service.supervisor.upgrade import Trial

# Seconds without a connection after which an idle supervisor ends.
IDLE_S: Final = 5.0
# Descriptors kept for connections, for looking through /proc, for what a spawn opens on its way,
# and for later commands of jobs whose earlier ones left something behind that holds their pipes.
SPARE_DESCRIPTORS: Final = 24
# Why a log can't be opened now, and can be later. Whatever else it is, the log is no log any more.
_PASSES: Final = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
)
# Roles of connections; jobs go to workers only.
WORKER: Final = "worker"


class Server:
    """The register, the connections, and the messages between them."""

    def __init__(
        self,
        host: Host,
        *,
        nonce: str,
        stay: bool,
        become: Callable[[dict[str, Any]], None],
        upgrades: int = 0,
        state: dict[str, Any] | None = None,
    ) -> None:
        """`become` executes the new code, which goes on with what `state` gives; it never returns,
        or raises OSError when nothing has changed. `upgrades`: how often this process became new
        code. `state`: what a predecessor's `state` gave, to go on with.
        """
        self._host = host
        self._nonce = nonce
        self._stay = stay
        self._upgrades = upgrades
        self._register: Register[Connection] = Register()
        self._connections: set[Connection] = set()
        self._silence = Silence(host.loop, self._drop)
        self._closing: tuple[Connection | None, int] | None = None  # who asked, its rid
        self._max_pending = 0  # none
        self._idle: asyncio.TimerHandle | None = None
        self._trial = Trial(host.loop)
        self._become = become
        self.ended: asyncio.Future[None] = host.loop.create_future()
        if state is not None:
            self._register.restore(state, lambda job: Job.from_state(job, host))
        self._rest()

    def state(self) -> dict[str, Any]:
        """All of it for a successor. Changes nothing."""
        register = self._register.state()
        return {"nonce": self._nonce, "upgrades": self._upgrades, "register": register}

    # Connections

    def opened(self, connection: Connection) -> None:
        if self.ended.done():
            connection.abort()  # an end of stream before hello: the peer starts another
            return
        self._connections.add(connection)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        connection.send(
            {
                "t": "hello",
                "protocol": PROTOCOL,
                "version": service.__version__,
                "nonce": self._nonce,
                "upgrades": self._upgrades,
                "pid": os.getpid(),
                "can": ABILITIES,
                "limits": why_not(self._host.controllers),
                "jobs": self._register.ids(),
            }
        )

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._silence.closed(connection)
        if self._closing is not None and self._closing[0] is connection:
            self._closing = None  # nobody waits for the end any more; whoever comes may stay
        workers = [c for c in self._connections if c.role == WORKER]
        for number, entry in enumerate(self._register.owned_by(connection)):
            self._hand_over(entry, workers[number % len(workers)] if workers else None)
        self._rest()

    def received(self, connection: Connection, message: Message) -> None:
        handler = getattr(self, f"_on_{message['t']}", None)
        if handler is not None:
            handler(connection, message)

    def _hand_over(self, entry: Entry[Connection], owner: Connection | None) -> None:
        entry.owner = owner
        if owner is None:
            return
        owner.send(
            {
                "t": "adopt",
                "job": entry.job.id,
                "turn": entry.has_turn,
                "asked": entry.job.machine.dispatched,
                "recovered": entry.is_recovered,
                "events": list(entry.events),
            }
        )

    def _drop(self, connection: Connection) -> None:
        """Its jobs go to others. When it wakes it finds itself without a connection."""
        log_event("peer_silent", pid=connection.pid)
        connection.abort()

    # Messages

    def _on_beat(self, connection: Connection, _message: Message) -> None:
        self._silence.beat(connection)

    def _on_hello(self, connection: Connection, message: Message) -> None:
        connection.role = message["role"]
        connection.pid = message["pid"]
        if message.get("beats"):
            self._silence.joined(connection)
        if connection.role == WORKER:
            self._register.max_running = message["max_running"]
            self._max_pending = message.get("max_pending", 0)
            for entry in self._register.owned_by(None):
                self._hand_over(entry, connection)
            self._give_turns()

    def _on_claim(self, connection: Connection, message: Message) -> None:
        job_id = message["job"]
        refusal = None
        may_run = self._may_run()
        if self._closing is not None:
            refusal = "closing"
        elif self._register.get(job_id) is not None:
            refusal = "claimed"
        elif not may_run and self._has_slot() and not message.get("stored", False):
            refusal = "descriptors"  # one that is stored, or that finds no slot, waits instead
        elif not message.get("stored", False):
            refusal = self._why_no_place(message)
        if refusal is not None:
            self._reply(connection, message, ok=False, why=refusal)
            return
        entry = self._register.claim(
            Job(job_id, self._host),
            connection,
            may_run=may_run,
            priority=message.get("priority", 0),
            principal=message.get("owner") or "",
            most=message.get("max_running", 0),
        )
        # One that no start was asked for when it was claimed can't have run under another.
        entry.is_recovered = message.get("stored", False) and message.get("asked", 0) >= 0
        if queue_s := message.get("queue_s"):
            entry.job.wait_for_turn(queue_s=queue_s, grace_s=message["grace_s"])
        self._reply(connection, message, ok=True, turn=entry.has_turn)

    def _why_no_place(self, message: Message) -> str | None:
        """Why a job may not wait for its turn; None when it may, or needn't wait."""
        principal = message.get("owner") or ""
        if not self._register.must_wait(principal, message.get("max_running", 0)):
            return None
        waiting, its_own = self._register.waiting, self._register.waiting_of(principal)
        if 0 < message.get("max_pending", 0) <= its_own:
            return "ceiling"
        if not self._max_pending:
            return None
        free = self._max_pending - waiting
        if free <= 0:
            return "pending"
        # A principal may take as many places as it leaves: half when it is alone, and there is
        # always one for the next. One without a name is alone with the service.
        return "share" if principal and its_own >= free else None

    def _has_slot(self) -> bool:
        return self._register.running < self._register.max_running

    def _may_run(self) -> bool:
        """Whether the descriptors suffice for one more job: one always may, so that nothing waits
        for ever. They are counted only where the limit is near.
        """
        running = self._register.running
        descriptors = self._host.descriptors
        if not running or (running + 1) * JOB_DESCRIPTORS < descriptors.limit // 2:
            return True
        to_come = sum(e.job.descriptors_to_come for e in self._register if e.has_turn)
        return descriptors.free() >= to_come + JOB_DESCRIPTORS + SPARE_DESCRIPTORS

    def _on_start(self, connection: Connection, message: Message) -> None:
        entry = self._register.get(message["job"])
        if entry is not None and entry.owner is connection and entry.has_turn:
            entry.job.start(message)

    def _on_kill(self, connection: Connection, message: Message) -> None:
        entry = self._register.get(message["job"])
        # `again`: it may have been carried out already, and a second signal means something else.
        if entry is not None and not (message.get("again") and entry.job.machine.kill is not None):
            entry.job.kill(
                signal=message["signal"],
                grace_s=message["grace_s"],
                reason=message["reason"],
                at=message["at"],
            )
        self._reply(connection, message, ok=entry is not None)

    def _on_log(self, connection: Connection, message: Message) -> None:
        """Make the log of a job of which somebody wants to read what comes."""
        entry = self._register.get(message["job"])
        if entry is None:
            self._reply(connection, message, ok=False)
            return
        try:
            entry.job.make_log()
        except OSError as exc:
            self._reply(connection, message, ok=False, why=os.strerror(exc.errno or 0))
        else:
            self._reply(connection, message, ok=True)

    def _on_ack(self, connection: Connection, message: Message) -> None:
        self._register.acknowledge(message["job"], message["seq"])
        self._on_publish(connection, message)

    def _on_release(self, connection: Connection, message: Message) -> None:
        self._on_publish(connection, message)
        entry = self._register.get(message["job"])
        if entry is None or entry.owner is not connection:
            return
        self._register.release(entry.job.id)
        if not entry.job.is_finished and entry.job.machine.dispatched >= 0:
            # Only a job that never ran may be released unfinished (its submission failed).
            log_event("running_job_released", job=entry.job.id)
            entry.job.kill(signal=9, grace_s=0, reason="lost", at=time.time_ns())
        self._give_turns()
        self._rest()

    def _on_publish(self, connection: Connection, message: Message) -> None:
        """Tell every other worker how a job stands; `ack` and `release` may say it as well."""
        if "state" not in message:
            return
        notice = {"t": "notice", "job": message["job"], "state": message["state"]}
        for other in self._connections:
            # One that hasn't said what it is may be a worker, and has our hello: it reads the
            # records as they were then, and hears of what changes since.
            if other is not connection and other.role in (WORKER, ""):
                other.send(notice)

    def _on_close_orphaned_log(self, connection: Connection, message: Message) -> None:
        """Close the log of a job whose supervisor is dead, repaired where its death tore it."""
        files = job_files(self._host.state_dir, message["job"])
        try:
            log = LogWriter.reopen(files.log)
        except FileNotFoundError:
            # Without a directory it never began; else what it wrote may have been in its pipes.
            complete = not os.path.isdir(files.directory)
            self._reply(connection, message, ok=True, end=0, complete=complete)
            return
        except OSError as exc:
            if exc.errno in _PASSES:
                self._reply(connection, message, ok=False, why=f"its log can't be mended: {exc}")
                return
            log_event("log_lost", job=message["job"], why=str(exc))
            self._reply(connection, message, ok=True, end=0, complete=False)
            return
        for repair in log.repairs:
            log_event("log_repaired", job=message["job"], repair=repair)
        was_closed = log.state.closed
        complete = log.state.complete if was_closed else False
        if was_closed:
            log.detach()
        else:
            try:
                log.close(complete=False)
            except OSError as exc:
                log.detach()
                self._reply(connection, message, ok=False, why=f"its log can't be closed: {exc}")
                return
        self._reply(connection, message, ok=True, end=log.end, complete=complete)

    def _on_shutdown(self, connection: Connection, message: Message) -> None:
        """End every job and then this process; the caller takes all jobs over to record them."""
        self._closing = (connection, message["rid"])
        for entry in self._register:
            if entry.owner is not connection:
                self._hand_over(entry, connection)
        for entry in self._register:
            entry.job.shut_down(message["grace_s"])
        self._rest()

    def _on_retire(self, _connection: Connection, _message: Message) -> None:
        """A newer release wants to start its own; done when nothing is live."""
        if not len(self._register):
            log_event("supervisor_retires")
            self._end()

    def _on_upgrade(self, connection: Connection, message: Message) -> None:
        """Become the code that is installed now, once a trial shows that it can take over."""
        if self._closing is not None:
            self._reply(connection, message, ok=False, why="the supervisor is ending")
            return
        try:
            self._trial.ask(connection, message, self.state())
        except OSError as exc:
            why = f"the installed code can't be tried: {os.strerror(exc.errno or 0)}"
            self._reply(connection, message, ok=False, why=why)

    def trial_ended(self, pid: int, status: int) -> bool:
        """A child that isn't a command has died; True if it was a trial of new code."""
        askers = self._trial.ended(pid)
        if askers is None:
            return False
        ok = status == 0 and self._closing is None and not self.ended.done()
        log_event("upgrade_tried", ok=ok, status=status)
        why = None if ok else f"the installed code can't take over (exit status {status})"
        for connection, message in askers:
            self._reply(connection, message, ok=ok, why=why)
        if ok:
            for connection in self._connections:
                connection.flush()
            try:
                self._become(self.state())
            except OSError as exc:
                log_event("upgrade_failed", error=str(exc))
                for connection, _ in askers:
                    connection.abort()  # who asked connects again, and finds the old code
        return True

    def shut_down(self, grace_s: float) -> None:
        """The same, asked for by a signal; the owners record."""
        if self._closing is None:
            self._closing = (None, 0)
            for entry in self._register:
                entry.job.shut_down(grace_s)
            self._rest()

    # What jobs tell

    def emit(self, job: Job, name: str, fields: dict[str, Any]) -> None:
        entry = self._register.get(job.id)
        if entry is None:
            return
        event = {"t": "event", "job": job.id, "name": name, **fields}
        self._register.record(entry, event)
        if entry.owner is not None:
            entry.owner.send(event)
        if name == "finished":
            self._register.give_back_turn(entry)
            self._give_turns()
            self._rest()

    def _give_turns(self) -> None:
        for entry in self._register.next_turns(self._may_run):
            if entry.owner is not None:
                entry.owner.send({"t": "turn", "job": entry.job.id})

    def _reply(self, connection: Connection, message: Message, **fields: Any) -> None:
        connection.send({"t": "reply", "rid": message["rid"], **fields})

    # The end

    def _rest(self) -> None:
        """End when there is nothing to stay for."""
        if self.ended.done():
            return
        if self._closing is not None:
            self._close_when_empty()
        elif not (self._connections or len(self._register) or self._stay or self._idle is not None):
            self._idle = self._host.loop.call_later(IDLE_S, self._end)

    def _close_when_empty(self) -> None:
        assert self._closing is not None  # noqa: S101 - the one caller has seen to it
        connection, rid = self._closing
        unrecorded = self._connections and len(self._register)
        live = any(not entry.job.is_finished for entry in self._register)
        if live or unrecorded:
            return
        if connection is not None:
            connection.send({"t": "reply", "rid": rid, "ok": True})
        # One turn of the loop, so that the reply is on its way.
        self._host.loop.call_soon(self._end)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
