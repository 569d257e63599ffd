"""The register of live jobs: who owns each, what its owner hasn't acknowledged, who has a turn.

Pure: it decides and remembers; `server.py` sends. `Owner` is whatever stands for a connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from service.link.protocol import Message
from service.supervisor.job.runner import Job
from service.supervisor.run_queue import Turns

Owner = TypeVar("Owner")


@dataclass(slots=True, eq=False, kw_only=True)
class Entry(Generic[Owner]):
    """One live job. `owner` drives it, `principal` submitted it, of whom `most` jobs may run (0:
    any number). `events` are those its owner hasn't acknowledged, oldest first; `is_recovered` when
    it was claimed from its record, so that a dead supervisor may have run it.
    """

    job: Job
    owner: Owner | None
    has_turn: bool = False
    priority: int = 0
    principal: str = ""
    most: int = field(default=0, kw_only=True)
    seq: int = 0
    is_recovered: bool = False
    events: deque[Message] = field(default_factory=deque)


class Register(Generic[Owner]):
    """Live jobs in the order of their claims. At most `max_running` have their turn at a time."""

    def __init__(self) -> None:
        self.max_running = 1
        self._entries: dict[str, Entry[Owner]] = {}
        self._turns: Turns[str] = Turns()
        self._running = 0

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor; see `Job.state`. Changes nothing."""
        entries = [
            {
                "job": entry.job.state(),
                "has_turn": entry.has_turn,
                "waits": entry.job.id in self._turns,
                "priority": entry.priority,
                "principal": entry.principal,
                "most": entry.most,
                "seq": entry.seq,
                "is_recovered": entry.is_recovered,
                "events": list(entry.events),
            }
            for entry in self._entries.values()
        ]
        return {"max_running": self.max_running, "entries": entries}

    def restore(self, state: dict[str, Any], make_job: Callable[[dict[str, Any]], Job]) -> None:
        """Take over what a predecessor had; nobody owns it yet."""
        self.max_running = state["max_running"]
        for kept in state["entries"]:
            entry: Entry[Owner] = Entry(
                job=make_job(kept["job"]),
                owner=None,
                has_turn=kept["has_turn"],
                priority=kept.get("priority", 0),
                principal=kept.get("principal", ""),
                most=kept.get("most", 0),
                seq=kept["seq"],
                is_recovered=kept.get("is_recovered", False),
                events=deque(kept["events"]),
            )
            self._entries[entry.job.id] = entry
            if entry.has_turn:
                self._count(entry)
            if kept["waits"]:
                self._wait(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[Owner]]:
        return iter(list(self._entries.values()))

    def get(self, job_id: str) -> Entry[Owner] | None:
        return self._entries.get(job_id)

    def ids(self) -> list[str]:
        return list(self._entries)

    @property
    def running(self) -> int:
        """How many jobs have their turn."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return len(self._turns)

    def claim(
        self,
        job: Job,
        owner: Owner,
        *,
        may_run: bool = True,
        priority: int = 0,
        principal: str = "",
        most: int = 0,
    ) -> Entry[Owner]:
        """Enter a job that isn't in the register; its turn comes at once when it `may_run` and
        needn't wait.
        """
        entry = Entry(job=job, owner=owner, priority=priority, principal=principal, most=most)
        self._entries[job.id] = entry
        if may_run and not self.must_wait(principal, most):
            self._give_turn(entry)
        else:
            self._wait(entry)
        return entry

    def must_wait(self, principal: str, most: int) -> bool:
        """Whether a job of this principal, of whom `most` may run, has to wait for its turn: for a
        slot, behind those that wait already, or for an end of one of its principal's.
        """
        has_slot = self._running < self.max_running and self._turns.next() is None
        return not (has_slot and self._turns.may_run(principal, most))

    def waiting_of(self, principal: str) -> int:
        """How many jobs of this principal wait for their turn."""
        return self._turns.waiting_of(principal)

    def record(self, entry: Entry[Owner], event: Message) -> None:
        """Number the event, and keep it until it is acknowledged."""
        entry.seq += 1
        event["seq"] = entry.seq
        entry.events.append(event)

    def acknowledge(self, job_id: str, seq: int) -> None:
        if (entry := self._entries.get(job_id)) is not None:
            while entry.events and entry.events[0]["seq"] <= seq:
                entry.events.popleft()

    def give_back_turn(self, entry: Entry[Owner]) -> None:
        """The job uses its slot no more."""
        self._turns.leave(entry.job.id)
        if entry.has_turn:
            entry.has_turn = False
            self._running -= 1
            self._turns.ended(entry.principal)

    def release(self, job_id: str) -> Entry[Owner] | None:
        """Forget a job; its record is final."""
        entry = self._entries.pop(job_id, None)
        if entry is not None:
            self.give_back_turn(entry)
        return entry

    def next_turns(self, may_run: Callable[[], bool] = lambda: True) -> list[Entry[Owner]]:
        """Give free slots to those whose turn it is, each if one more `may_run`, and say who got
        one.
        """
        given = []
        while self._turns and self._running < self.max_running and may_run():
            if (job_id := self._turns.next()) is None:
                break  # those that wait are at the ceilings of their principals
            self._turns.leave(job_id)
            entry = self._entries[job_id]
            self._give_turn(entry)
            given.append(entry)
        return given

    def owned_by(self, owner: Owner | None) -> list[Entry[Owner]]:
        return [entry for entry in self._entries.values() if entry.owner is owner]

    def _wait(self, entry: Entry[Owner]) -> None:
        self._turns.wait(
            entry.job.id, priority=entry.priority, principal=entry.principal, most=entry.most
        )

    def _give_turn(self, entry: Entry[Owner]) -> None:
        entry.has_turn = True
        self._count(entry)

    def _count(self, entry: Entry[Owner]) -> None:
        self._running += 1
        self._turns.began(entry.principal)
