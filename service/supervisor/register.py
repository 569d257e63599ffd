"""The register of live jobs: which worker drives each, which events that worker hasn't
acknowledged, and which jobs have a run slot.

Pure: it decides and remembers; `server.py` sends. `Worker` is whatever stands for a connection.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from service.link.job_events import Event, EventBody
from service.supervisor.job.runner import Job
from service.supervisor.run_queue import RunQueue
from service.supervisor.snapshot import EntrySnapshot, JobSnapshot, RegisterSnapshot

Worker = TypeVar("Worker")


@dataclass(slots=True, eq=False, kw_only=True)
class Entry(Generic[Worker]):
    """One live job. `worker` drives it; `principal` submitted it, and may have `max_running` run
    slots (0: any number). `priority_changes`: how often its priority was changed. `events` are
    those that aren't acknowledged, oldest first. A job that `is_recovered` was claimed from its
    record, so a dead supervisor may have run it; one that `is_held` isn't in the run queue.
    """

    job: Job
    worker: Worker | None
    has_slot: bool = False
    priority: int = 0
    priority_changes: int = 0
    principal: str = ""
    max_running: int = 0
    seq: int = 0
    is_recovered: bool = False
    is_held: bool = False
    events: deque[Event] = field(default_factory=deque)


class Register(Generic[Worker]):
    """Live jobs in the order of their claims. At most `max_running` have a run slot at a time."""

    def __init__(self) -> None:
        self.max_running = 1
        self._entries: dict[str, Entry[Worker]] = {}
        self._queue: RunQueue[str] = RunQueue()
        self._running = 0
        self._held: Counter[str] = Counter()  # how many jobs of each principal are held

    def snapshot(self, snapshot_of: Callable[[Job], JobSnapshot]) -> RegisterSnapshot:
        """All of it, for the next image of this process. Changes nothing."""
        entries = [
            EntrySnapshot(
                job=snapshot_of(entry.job),
                has_slot=entry.has_slot,
                is_waiting=entry.job.id in self._queue,
                priority=entry.priority,
                priority_changes=entry.priority_changes,
                principal=entry.principal,
                max_running=entry.max_running,
                seq=entry.seq,
                is_recovered=entry.is_recovered,
                is_held=entry.is_held,
                # An event isn't changed once it is recorded.
                events=cast("list[dict[str, Any]]", list(entry.events)),
            )
            for entry in self._entries.values()
        ]
        return RegisterSnapshot(max_running=self.max_running, entries=entries)

    def resume(self, snapshot: RegisterSnapshot, resume_job: Callable[[JobSnapshot], Job]) -> None:
        """Go on with the register of the previous image; no worker drives a job of it yet."""
        self.max_running = snapshot.max_running
        for kept in snapshot.entries:
            entry: Entry[Worker] = Entry(
                job=resume_job(kept.job),
                worker=None,
                has_slot=kept.has_slot,
                priority=kept.priority,
                priority_changes=kept.priority_changes,
                principal=kept.principal,
                max_running=kept.max_running,
                seq=kept.seq,
                is_recovered=kept.is_recovered,
                is_held=kept.is_held,
                events=deque(cast("list[Event]", kept.events)),
            )
            self._entries[entry.job.id] = entry
            if entry.has_slot:
                self._count(entry)
            if kept.is_waiting:
                self._wait(entry)
            elif entry.is_held:
                self._held[entry.principal] += 1

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[Worker]]:
        return iter(list(self._entries.values()))

    def get(self, job_id: str) -> Entry[Worker] | None:
        return self._entries.get(job_id)

    def ids(self) -> list[str]:
        return list(self._entries)

    @property
    def running(self) -> int:
        """How many jobs have a run slot."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many jobs wait for one, or are held."""
        return len(self._queue) + self._held.total()

    @property
    def has_free_slot(self) -> bool:
        return self._running < self.max_running

    def claim(
        self,
        job: Job,
        worker: Worker,
        *,
        may_run: bool = True,
        priority: int = 0,
        principal: str = "",
        max_running: int = 0,
        is_held: bool = False,
    ) -> Entry[Worker]:
        """Enter a job that isn't in the register. It has a run slot at once when it `may_run` and
        needn't wait; one that `is_held` gets none before `unhold`.
        """
        entry = Entry(
            job=job, worker=worker, priority=priority, principal=principal, max_running=max_running
        )
        self._entries[job.id] = entry
        if is_held:
            entry.is_held = True
            self._held[principal] += 1
        elif may_run and not self.must_wait(principal, max_running):
            self._grant(entry)
        else:
            self._wait(entry)
        return entry

    def must_wait(self, principal: str, max_running: int) -> bool:
        """Whether a job of this principal, which may have `max_running` run slots, has to wait: for
        a free slot, behind those that wait already, or for the end of one of its principal's jobs.
        """
        is_next = self.has_free_slot and self._queue.peek() is None
        return not (is_next and self._queue.is_below_limit(principal, max_running))

    @property
    def has_live(self) -> bool:
        """Whether a job isn't finished."""
        return any(not entry.job.is_finished for entry in self._entries.values())

    def waiting_of(self, principal: str) -> int:
        """How many jobs of this principal wait for a run slot, or are held."""
        return self._queue.waiting_of(principal) + self._held[principal]

    def set_priority(self, entry: Entry[Worker], priority: int) -> bool:
        """Change the priority of a job that waits for a run slot; False, and nothing changes, when
        it doesn't wait.
        """
        if entry.job.id in self._queue:
            self._queue.set_priority(entry.job.id, priority)
        elif not entry.is_held:
            return False
        entry.priority = priority
        entry.priority_changes += 1
        return True

    def unhold(self, entry: Entry[Worker]) -> bool:
        """Let a held job wait for a run slot; False, and nothing changes, when it isn't held."""
        if not entry.is_held:
            return False
        self._let_go(entry)
        self._wait(entry)
        return True

    def record(self, entry: Entry[Worker], body: EventBody) -> Event:
        """The event with its number; it is kept until it is acknowledged."""
        entry.seq += 1
        # A body and these three keys: mypy can't add the one to the other.
        event = cast("Event", {"type": "event", "job": entry.job.id, "seq": entry.seq, **body})
        entry.events.append(event)
        return event

    def acknowledge(self, job_id: str, seq: int) -> None:
        if (entry := self._entries.get(job_id)) is not None:
            while entry.events and entry.events[0]["seq"] <= seq:
                entry.events.popleft()

    def free_slot(self, entry: Entry[Worker]) -> None:
        """The job needs no run slot any more: it has ended, also if it was waiting for one."""
        self._queue.discard(entry.job.id)
        self._let_go(entry)
        if entry.has_slot:
            entry.has_slot = False
            self._running -= 1
            self._queue.slot_freed(entry.principal)

    def wait_again(self, entry: Entry[Worker]) -> None:
        """Take the run slot of a job that hasn't begun, which waits for another one."""
        self.free_slot(entry)
        self._wait(entry)

    def release(self, job_id: str) -> Entry[Worker] | None:
        """Forget a job; its record is final."""
        entry = self._entries.pop(job_id, None)
        if entry is not None:
            self.free_slot(entry)
        return entry

    def grant_slots(self, may_run: Callable[[], bool] = lambda: True) -> list[Entry[Worker]]:
        """Grant free slots to the jobs that are next, each if one more `may_run`; the jobs that got
        one.
        """
        granted = []
        while self._queue and self.has_free_slot and may_run():
            if (job_id := self._queue.pop()) is None:
                break  # those that wait are at the limits of their principals
            entry = self._entries[job_id]
            self._grant(entry)
            granted.append(entry)
        return granted

    def driven_by(self, worker: Worker | None) -> list[Entry[Worker]]:
        return [entry for entry in self._entries.values() if entry.worker is worker]

    def _wait(self, entry: Entry[Worker]) -> None:
        self._queue.add(
            entry.job.id,
            priority=entry.priority,
            principal=entry.principal,
            max_running=entry.max_running,
        )

    def _let_go(self, entry: Entry[Worker]) -> None:
        if entry.is_held:
            entry.is_held = False
            self._held[entry.principal] -= 1
            if not self._held[entry.principal]:
                del self._held[entry.principal]

    def _grant(self, entry: Entry[Worker]) -> None:
        entry.has_slot = True
        self._count(entry)

    def _count(self, entry: Entry[Worker]) -> None:
        self._running += 1
        self._queue.slot_taken(entry.principal)
