"""The live jobs that this process owns: their events are stored, and what follows is asked for.

Rules
1. Events of one batch are stored in one transaction; only after its commit is anything sent.
2. That a start was asked for is stored before it is asked for: at most once.
3. When storing fails, nothing is acknowledged: the events are kept, and tried again.
4. That a command has started may wait a moment, unless somebody asks: most that end soon are then
   stored once, not twice. Until then it isn't acknowledged, so nothing is lost with this process.
5. A change is stored only on the revision that it was made of. Who was taken for dead, and is not,
   writes over nothing: both apply the same events, and the second finds them applied.
6. One job that can't be driven ends, with an error of its own, and stops no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from msgspec.structs import replace

from service.engine.backoff import Backoff
from service.engine.claim_message import kill_message
from service.engine.events import apply, lost
from service.engine.record_writer import RecordWriter
from service.engine.start_message import start_message
from service.errors import InsufficientStorage, JobrunnerError, RecordsLocked, Unavailable
from service.jobs.lifecycle import FINISHED, State
from service.jobs.record import JobRecord
from service.jobs.spec import JobSpec
from service.kinds.stored import decode_spec
from service.link.from_supervisor import Adopt, Event, Notification, Rejected
from service.link.session import SupervisorSession
from service.link.to_supervisor import Start, ToSupervisor
from service.settings import Settings
from service.store import Overtaken, Store, readable

# Seconds between two tries to store what couldn't be stored: another process writes, as a rule, and
# is done in a moment; room comes by a person's hand.
_FIRST_RETRY_S: Final = 0.02
_LAST_RETRY_S: Final = 1.0
# Times that a batch is taken in anew at once, when others have stored changes of its jobs.
_ATTEMPTS: Final = 3
# Seconds that the start of a command waits to be stored: the shortest commands take two
# milliseconds, and nobody who polls sees the difference.
_HOLD_S: Final = 0.005

_log = structlog.get_logger("jobrunner.engine")


@dataclass(slots=True)
class Owned:
    """A live job. `record` is None while what is stored isn't known; `spec` once no command is left
    to start. `dispatched` is the last command that this process sent to the supervisor.
    """

    record: JobRecord | None
    spec: JobSpec | None
    has_turn: bool
    dispatched: int = -1


@dataclass(slots=True)
class _Outbox:
    """What is sent after the commit."""

    dirty: dict[str, JobRecord] = field(default_factory=dict)  # stored in one transaction
    before: dict[str, State] = field(default_factory=dict)  # in which states they were
    acks: dict[str, int] = field(default_factory=dict)  # job → the last event that is stored
    messages: list[ToSupervisor] = field(default_factory=list)
    changed: dict[str, State] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    to_recover: list[tuple[str, bool]] = field(default_factory=list)


class Owner:
    """Drives the jobs of one connection to the supervisor."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        on_change: Callable[[str, State], None],
        on_finished: Callable[[str], None],
        writer: RecordWriter,
        is_awaited: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`on_change` is called for every job that changes, `on_finished` for those whose end was
        stored here. Records are stored through `writer`. `is_awaited` says whether somebody
        waits to hear that a job has started.
        """
        self._settings = settings
        self._store = store
        self._on_change = on_change
        self._on_finished = on_finished
        self._writer = writer
        self._is_awaited = is_awaited
        self._jobs: dict[str, Owned] = {}
        self._claiming: dict[str, list[Notification]] = {}  # job → what came before `own`
        self._deferred: list[Notification] = []
        self._backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)
        self.fault: str | None = None  # why what is deferred couldn't be stored
        self._held: list[Notification] = []  # starts that are yet to be stored
        self._holding: asyncio.TimerHandle | None = None
        self._connection: SupervisorSession | None = None
        self.damaged = 0  # jobs that were ended as their records couldn't be read, or made no sense
        # Called with a job and whether it has its turn, when it was adopted from one who died while
        # taking it over: a dead supervisor may have run it, so it isn't started.
        self.needs_recovery: Callable[[str, bool], None] | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    def connected(self, connection: SupervisorSession) -> None:
        self._connection = connection

    def drives(self, job_id: str) -> bool:
        """Whether the job is this process's, and therefore live."""
        return job_id in self._jobs

    def lost(self) -> None:
        """The connection is gone, and so is everything owned."""
        self._connection = None
        self._take_held()
        self._jobs.clear()
        self._claiming.clear()
        self._deferred.clear()
        self.fault = None

    def claiming(self, job_id: str) -> None:
        """A claim is about to be sent; its turn or its end may come before `own`."""
        self._claiming.setdefault(job_id, [])

    def not_claimed(self, job_id: str) -> None:
        """The claim was refused: somebody else has the job, or this process has it already."""
        if early := self._claiming.pop(job_id, []):
            self.received(early)

    def own(self, record: JobRecord, spec: JobSpec, *, has_turn: bool) -> None:
        """A job that was claimed and stored is this process's now. When it has its turn, `record`
        says already that its first command is asked for.
        """
        early = self._claiming.pop(record.id, [])
        owned = self._jobs[record.id] = Owned(record, spec, has_turn)
        if has_turn:
            self._send(self._start(owned, record))
        if early:
            self.received(early)

    def ended(self, job_id: str, state: State) -> None:
        """A job that was claimed ended without the supervisor; its final record is stored."""
        self._send({"type": "publish", "job": job_id, "state": state.value})
        self._on_change(job_id, state)
        self._on_finished(job_id)
        self.give_up(job_id)

    def give_up(self, job_id: str) -> None:
        """A claimed job has no record, or a final one."""
        self._claiming.pop(job_id, None)
        self._jobs.pop(job_id, None)
        self._send({"type": "release", "job": job_id})

    def received(self, batch: list[Notification]) -> None:
        """Messages of the supervisor, in order."""
        batch = [message for message in batch if not self._is_notice(message)]
        if self._deferred:
            self._deferred += batch
        elif all(map(self._can_wait, batch)):
            self._held += batch
            if self._holding is None and batch:
                loop = asyncio.get_running_loop()
                self._holding = loop.call_later(_HOLD_S, self.settle)
        else:
            self._take_in(self._take_held() + batch)

    def settle(self) -> None:
        """Store now what may have waited: somebody wants to know how jobs stand."""
        if self._held:
            self._take_in(self._take_held())

    def _is_notice(self, message: Notification) -> bool:
        if message["type"] != "job_changed":
            return False
        self._on_change(message["job"], State(message["state"]))
        return True

    def _can_wait(self, message: Notification) -> bool:
        if message["type"] != "event" or message["name"] != "started":
            return False
        return message["job"] in self._jobs and not self._is_awaited(message["job"])

    def _take_held(self) -> list[Notification]:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        held, self._held = self._held, []
        return held

    def _take_in(self, batch: list[Notification]) -> None:
        for _ in range(_ATTEMPTS):
            outbox = _Outbox()
            try:
                for message in batch:
                    self._handle_or_end(message, outbox)
                if outbox.dirty:
                    self._store_all(outbox)
                break
            except Overtaken as exc:
                _log.warning("record_was_changed", job=str(exc))
                self._read_again(batch)
            except JobrunnerError as exc:
                self._defer(batch, exc)
                return
        else:
            self._defer(batch, Unavailable("Others change the same records."))
            return
        self._backoff.reset()
        if self.fault is not None:
            self.fault = None
            _log.info("events_stored", events=len(batch))
        for job_id in outbox.dropped:
            self._jobs.pop(job_id, None)
        self._send(*_all_messages(outbox))
        for job_id, state in outbox.changed.items():
            self._on_change(job_id, state)
        for job_id in outbox.dropped:
            self._on_finished(job_id)
        for job_id, has_turn in outbox.to_recover:
            if self.needs_recovery is not None:
                self.needs_recovery(job_id, has_turn)

    def _store_all(self, outbox: _Outbox) -> None:
        self._writer.update(*outbox.dirty.values(), before=outbox.before)
        for job_id in outbox.dirty:
            if (owned := self._jobs.get(job_id)) is not None and owned.record is not None:
                owned.record = replace(owned.record, revision=owned.record.revision + 1)

    def _handle_or_end(self, message: Notification, outbox: _Outbox) -> None:
        try:
            self._handle(message, outbox)
        except (InsufficientStorage, Unavailable, Overtaken):
            raise
        except Exception as exc:  # noqa: BLE001 - its record, or what was said of it, makes no sense
            job_id = message.get("job", "")
            _log.exception("job_not_driven", job=job_id)
            record = self._store.get(job_id)
            why = f"What is known of this job makes no sense: {exc!r}."
            if record is None:
                outbox.messages.append({"type": "release", "job": job_id})
            else:
                self._lose(record, why, outbox)

    def _lose(self, record: JobRecord, why: str, outbox: _Outbox) -> None:
        """End a job that can't be driven: released like this, the supervisor kills what runs."""
        self.damaged += 1
        outbox.dirty.pop(record.id, None)
        outbox.before.pop(record.id, None)
        if record.state not in FINISHED or record.damage is not None:
            record = lost(record, at=time.time_ns(), end=0, complete=False, error=why)
            self._writer.end_damaged(record)
        self._drop(record.id, record.state, outbox)

    def _handle(self, message: Notification, outbox: _Outbox) -> None:
        job_id = message.get("job", "")
        match message["type"]:
            case "adopt":
                self._adopt(message, outbox)
            case "slot_granted" | "event" if job_id in self._claiming:
                self._claiming[job_id].append(message)
            case "slot_granted":
                if (owned := self._jobs.get(job_id)) is not None:
                    owned.has_turn = True
                    self._go_on(job_id, owned, outbox)
            case "event":
                if (owned := self._jobs.get(job_id)) is not None:
                    self._event(job_id, owned, message, outbox)
            case "rejected":
                self._rejected(job_id, message)

    def _rejected(self, job_id: str, message: Rejected) -> None:
        """Raises: ValueError, when the job can't be driven: a side doesn't understand the other."""
        rejected, error = message["rejected"], message["error"]
        _log.error("message_rejected", job=job_id, message=rejected, error=error)
        if rejected == "adopt" or (rejected in ("start", "event") and job_id in self._jobs):
            raise ValueError(error)

    def _adopt(self, message: Adopt, outbox: _Outbox) -> None:
        job_id = message["job"]
        record = self._store.get(job_id)
        if record is None:
            outbox.messages.append({"type": "release", "job": job_id})
            return
        if message["is_recovered"] and message["dispatched"] < 0 <= record.dispatched:
            self.claiming(job_id)
            outbox.to_recover.append((job_id, message["has_slot"]))
            return
        record, spec = readable(record)
        if record.damage is not None:
            _log.error("record_damaged", job=job_id, why=record.damage)
            self._lose(record, record.damage, outbox)
            return
        owned = Owned(record, spec, message["has_slot"], message["dispatched"])
        self._jobs[job_id] = owned
        _log.info("job_adopted", job=job_id, events=len(message["events"]))
        for event in message["events"]:
            self._event(job_id, owned, event, outbox)
        if record.state in FINISHED:
            self._drop(job_id, record.state, outbox)
        else:
            if record.kill is not None:
                # Who recorded it may have died before it could ask the supervisor for it.
                outbox.messages.append(kill_message(job_id, record.kill))
            self._go_on(job_id, owned, outbox)

    def _event(self, job_id: str, owned: Owned, event: Event, outbox: _Outbox) -> None:
        before = self._record_of(job_id, owned)
        if before is None:
            return
        record = apply(before, event)
        if event["name"] in ("ended", "refused"):
            # The next start is stored together with the end of the one before.
            record = self._ask_next(record, ends=event["ends_job"], number=event["command"])
        if record is not before:
            owned.record = outbox.dirty[job_id] = record
            outbox.before.setdefault(job_id, before.state)
        if record.state is not before.state or event["name"] == "finished":
            outbox.changed[job_id] = record.state
        if event["name"] == "finished":
            self._drop(job_id, record.state, outbox)
            return
        outbox.acks[job_id] = event["seq"]
        if record.dispatched > owned.dispatched:
            outbox.messages.append(self._start(owned, record))

    def _ask_next(self, record: JobRecord, *, ends: bool, number: int) -> JobRecord:
        following = number + 1
        if ends or record.dispatched >= following or following >= len(record.commands):
            return record
        return replace(record, dispatched=following)

    def _go_on(self, job_id: str, owned: Owned, outbox: _Outbox) -> None:
        """Ask for what was to be asked for next; a repeat is answered by nothing."""
        record = self._record_of(job_id, owned)
        if record is None or not owned.has_turn:
            return
        if record.dispatched < 0:
            outbox.before.setdefault(job_id, record.state)
            record = owned.record = outbox.dirty[job_id] = replace(record, dispatched=0)
        if record.dispatched > owned.dispatched:
            outbox.messages.append(self._start(owned, record))

    def _start(self, owned: Owned, record: JobRecord) -> Start:
        spec = owned.spec or decode_spec(record.spec)
        owned.dispatched = record.dispatched
        message = start_message(self._settings, record.id, spec, record.dispatched)
        if record.dispatched == len(record.commands) - 1:
            # No more to start: what is kept of an idle job is small.
            owned.spec = None
            owned.record = replace(record, spec=b"")
        return message

    def _drop(self, job_id: str, state: State, outbox: _Outbox) -> None:
        outbox.changed[job_id] = state
        outbox.acks.pop(job_id, None)  # with the job its events are forgotten
        outbox.messages.append({"type": "release", "job": job_id})
        outbox.dropped.append(job_id)

    def _record_of(self, job_id: str, owned: Owned) -> JobRecord | None:
        if owned.record is None:
            owned.record = self._store.get(job_id)
            if owned.record is not None and owned.record.damage is not None:
                raise ValueError(owned.record.damage)
        return owned.record

    def _defer(self, batch: list[Notification], error: JobrunnerError) -> None:
        is_passing = isinstance(error, RecordsLocked) and not self._backoff.is_at_most
        if self.fault != error.detail and not is_passing:  # a spell of failures is told once
            self.fault = error.detail
            _log.error("events_not_stored", error=error.detail, events=len(batch))
        self._read_again(batch)
        self._deferred += batch
        asyncio.get_running_loop().call_later(self._backoff.next_s(), self._retry)

    def _read_again(self, batch: list[Notification]) -> None:
        for message in batch:
            if (owned := self._jobs.get(message.get("job", ""))) is not None:
                # Nothing was committed and nothing sent; a start may be asked for twice.
                owned.record = None
                owned.dispatched = -1

    def _retry(self) -> None:
        batch, self._deferred = self._deferred, []
        if batch:
            self.received(batch)

    def _send(self, *messages: ToSupervisor) -> None:
        if self._connection is not None and messages:
            self._connection.send(*messages)


def _all_messages(outbox: _Outbox) -> list[ToSupervisor]:
    """What is to be sent, telling the other workers what changed: along with what is said of the
    job anyway, or in a notice of its own.
    """
    messages: list[ToSupervisor] = [
        {"type": "ack", "job": job, "seq": seq} for job, seq in outbox.acks.items()
    ]
    messages += outbox.messages
    untold = {job_id: state.value for job_id, state in outbox.changed.items()}
    for message in messages:
        if message["type"] in ("ack", "release") and message["job"] in untold:
            message["state"] = untold.pop(message["job"])
    return messages + [{"type": "publish", "job": job, "state": s} for job, s in untold.items()]
