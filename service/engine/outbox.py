"""What a batch of messages leads to: records to store in one transaction, then messages to send."""

from __future__ import annotations

import msgspec

from service.engine.claim import Claim
from service.jobs.record import JobRecord
from service.jobs.states import State
from service.link.to_supervisor import ToSupervisor


class Outbox(msgspec.Struct):
    """Filled while a batch is handled; nothing of it is sent before `dirty` is stored. `before`:
    the states that the jobs of `dirty` were in. `acks`: the last event of each job that is stored
    then. `let_go`: jobs that stay pending, for the next supervisor. `to_recover`: adopted jobs
    whose last worker died in the middle of their recovery. `kept`: jobs that are over and
    have kept processes.
    """

    dirty: dict[str, JobRecord] = msgspec.field(default_factory=dict)
    before: dict[str, State] = msgspec.field(default_factory=dict)
    acks: dict[str, int] = msgspec.field(default_factory=dict)
    changed: dict[str, State] = msgspec.field(default_factory=dict)
    dropped: list[str] = msgspec.field(default_factory=list)
    let_go: list[str] = msgspec.field(default_factory=list)
    to_recover: list[Claim] = msgspec.field(default_factory=list)
    kept: list[str] = msgspec.field(default_factory=list)
    _messages: list[ToSupervisor] = msgspec.field(default_factory=list)

    def send(self, message: ToSupervisor) -> None:
        """Once all is stored."""
        self._messages.append(message)

    def change(self, record: JobRecord, before: State) -> None:
        """Store `record`; the job was in the state `before`."""
        self.dirty[record.id] = record
        self.before.setdefault(record.id, before)

    def drop(self, job_id: str, state: State) -> None:
        """The job is finished in `state`, and this worker's no more."""
        self.changed[job_id] = state
        self.acks.pop(job_id, None)  # the supervisor forgets the events with the job
        self.send({"type": "release", "job": job_id})
        self.dropped.append(job_id)

    def leave_pending(self, job_id: str) -> None:
        """The job isn't this worker's any more, and nobody's until it is claimed again."""
        self.send({"type": "release", "job": job_id})
        self.let_go.append(job_id)

    def messages(self) -> list[ToSupervisor]:
        """All that is to be sent. What changed is published to the other workers: in a message
        about the job that is sent anyway, or in one of its own.
        """
        messages: list[ToSupervisor] = [
            {"type": "ack", "job": job_id, "seq": seq} for job_id, seq in self.acks.items()
        ]
        messages += self._messages
        unpublished = {job_id: state.value for job_id, state in self.changed.items()}
        for message in messages:
            if message["type"] in ("ack", "release") and message["job"] in unpublished:
                message["state"] = unpublished.pop(message["job"])
        return messages + [
            {"type": "publish", "job": job_id, "state": state}
            for job_id, state in unpublished.items()
        ]
