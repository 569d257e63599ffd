"""The live jobs of one worker, and what each message of the supervisor does to them.

Rules
1. That a command is dispatched is stored before it is sent: at most once.
2. One job that can't be driven ends, with an error of its own, and stops no other.
"""

from __future__ import annotations

import time

import structlog

from service.engine.claim_message import kill_messages
from service.engine.events import damaged
from service.engine.live_job import LiveJob
from service.engine.outbox import Outbox
from service.engine.record_writer import RecordWriter
from service.engine.start_message import start_message
from service.errors import InsufficientStorage, Unavailable
from service.jobs.record import JobRecord
from service.jobs.states import FINISHED
from service.link.from_supervisor import Adopt, Notification, Rejected
from service.link.job_events import Event
from service.link.start import Start
from service.settings import Settings
from service.store import Overtaken, Store, readable

_log = structlog.get_logger("jobrunner.engine")


class LiveJobs:
    """Changed by messages, which fill an outbox; what is in there is stored and sent by others."""

    def __init__(self, settings: Settings, store: Store, writer: RecordWriter) -> None:
        self._settings = settings
        self._store = store
        self._writer = writer
        self._jobs: dict[str, LiveJob] = {}
        self.damaged = 0  # jobs that were ended as their records couldn't be read, or made no sense

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._jobs

    def add(self, job: LiveJob) -> Start | None:
        """The job is this worker's; the message that starts its first command, if it has a slot."""
        self._jobs[job.record.id] = job
        return self._next_start(job)

    def clear(self) -> None:
        self._jobs.clear()

    def handle(self, message: Notification, outbox: Outbox) -> None:
        """Take in a message. Raises: InsufficientStorage, Unavailable, Overtaken."""
        try:
            self._handle(message, outbox)
        except (InsufficientStorage, Unavailable, Overtaken):
            raise
        except Exception as exc:  # noqa: BLE001 - its record, or a message about it, makes no sense
            job_id = message.get("job", "")
            _log.exception("job_unusable", job=job_id)
            record = self._store.get(job_id)
            if record is None:
                outbox.send({"type": "release", "job": job_id})
            else:
                why = f"What is known of this job makes no sense: {exc!r}."
                self._lose(record, why, outbox)

    def stored(self, outbox: Outbox) -> None:
        """All of `outbox` is stored."""
        for job_id in outbox.dirty:
            if (job := self._jobs.get(job_id)) is not None:
                job.stored()
        for job_id in (*outbox.dropped, *outbox.let_go):
            self._jobs.pop(job_id, None)

    def forget(self, batch: list[Notification]) -> None:
        """What `batch` led to couldn't be stored: read the records of its jobs again."""
        for message in batch:
            if (job := self._jobs.get(message.get("job", ""))) is not None:
                job.forget()

    def _handle(self, message: Notification, outbox: Outbox) -> None:
        match message["type"]:
            case "adopt":
                self._adopt(message, outbox)
            case "slot_granted":
                if (job := self._current(message["job"])) is not None:
                    job.has_slot = True
                    self._go_on(job, outbox)
            case "slot_revoked":
                self._leave_pending(message["job"], outbox)
            case "event":
                if (job := self._current(message["job"])) is not None:
                    self._event(job, message, outbox)
            case "rejected":
                self._rejected(message)

    def _adopt(self, message: Adopt, outbox: Outbox) -> None:
        job_id = message["job"]
        record = self._store.get(job_id)
        if record is None:
            outbox.send({"type": "release", "job": job_id})
            return
        record, spec = readable(record)
        if record.damage is not None:
            _log.error("record_damaged", job=job_id, why=record.damage)
            self._lose(record, record.damage, outbox)
            return
        job = LiveJob(record, spec, has_slot=message["has_slot"], sent=message["dispatched"])
        self._jobs[job_id] = job
        _log.info("job_taken_over", job=job_id, events=len(message["events"]))
        for event in message["events"]:
            self._event(job, event, outbox)
        if record.state in FINISHED:
            outbox.drop(job_id, record.state)
            return
        if record.kill is not None:
            # The worker that recorded it may have died before it sent it.
            for kill in kill_messages(job_id, record.kill):
                outbox.send(kill)
        self._go_on(job, outbox)

    def _event(self, job: LiveJob, event: Event, outbox: Outbox) -> None:
        before = job.record
        job.apply(event)
        if job.record is not before:
            outbox.change(job.record, before.state)
        if event["name"] == "finished":
            outbox.drop(before.id, job.state)
            if event.get("kept"):
                outbox.kept.append(before.id)
            return
        if job.state is not before.state or event["name"] == "released":
            outbox.changed[before.id] = job.state
        outbox.acks[before.id] = event["seq"]
        self._send_next(job, outbox)

    def _go_on(self, job: LiveJob, outbox: Outbox) -> None:
        if not job.has_slot:
            return
        before = job.record
        job.dispatch_first()
        if job.record is not before:
            outbox.change(job.record, before.state)
        self._send_next(job, outbox)

    def _leave_pending(self, job_id: str, outbox: Outbox) -> None:
        if (job := self._current(job_id)) is not None:
            before = job.record
            job.leave_pending()
            if job.record is not before:
                outbox.change(job.record, before.state)
        outbox.leave_pending(job_id)

    def _send_next(self, job: LiveJob, outbox: Outbox) -> None:
        if (start := self._next_start(job)) is not None:
            outbox.send(start)

    def _next_start(self, job: LiveJob) -> Start | None:
        command = job.command_to_send()
        return start_message(self._settings, job.record.id, *command) if command else None

    def _rejected(self, message: Rejected) -> None:
        """Raises: ValueError, when the job can't be driven: a side doesn't understand the other."""
        job_id, rejected, error = message.get("job", ""), message["rejected"], message["error"]
        _log.error("message_rejected", job=job_id, message=rejected, error=error)
        if rejected == "adopt" or (rejected in ("start", "event") and job_id in self._jobs):
            raise ValueError(error)

    def _current(self, job_id: str) -> LiveJob | None:
        job = self._jobs.get(job_id)
        if job is None or job.is_current:
            return job
        record = self._store.get(job_id)
        if record is None:
            return None
        if record.damage is not None:
            raise ValueError(record.damage)
        job.read_again(record)
        return job

    def _lose(self, record: JobRecord, why: str, outbox: Outbox) -> None:
        """End a job that can't be driven: released like this, the supervisor kills what runs."""
        self.damaged += 1
        outbox.dirty.pop(record.id, None)
        outbox.before.pop(record.id, None)
        if record.state not in FINISHED or record.damage is not None:
            record = damaged(record, why, at=time.time_ns())
            self._writer.end_damaged(record)
        outbox.drop(record.id, record.state)
