"""The supervisor of a test: it answers a session's requests as it is told, and its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from msgspec.structs import replace

from service.engine.changes import Changes
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.spec import JobSpec
from service.jobs.states import State
from service.kinds.bash import BashCommand
from service.kinds.stored import encode_spec
from service.link.from_supervisor import Adopt, AnyReply, SlotGranted
from service.link.job_events import EndedEvent, Event, FinishedEvent, StartedEvent
from service.link.session import ConnectionLost
from service.link.to_supervisor import (
    Claim,
    CloseOrphanedLog,
    Kill,
    MakeLog,
    Shutdown,
    ToSupervisor,
    Upgrade,
)

FUSE_S = 300

Request: TypeAlias = Claim | CloseOrphanedLog | Kill | MakeLog | Shutdown | Upgrade
# What the test says of a reply: the keys that depend on the request, without `type` and its id.
Answer: TypeAlias = Mapping[str, object]


class FakeSession:
    """Stands for the supervisor's socket; the real one is in the tests that start a supervisor.
    `replies` are given by the type of a request; a request without one waits for `answer`.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.sent: list[ToSupervisor] = []
        self.requested: list[Request] = []
        self.replies: dict[str, Answer | Callable[[Request], Answer | None]] = {}
        self._waiting: list[asyncio.Future[AnyReply]] = []
        self._late: list[Callable[..., None] | None] = []
        self._changed = asyncio.Event()

    def send(self, *messages: ToSupervisor) -> None:
        self.sent += messages
        self._changed.set()

    async def request(
        self, message: Request, *, on_late: Callable[..., None] | None = None
    ) -> AnyReply:
        self.requested.append(message)
        self._changed.set()
        reply = self.replies.get(message["type"])
        if callable(reply):
            reply = reply(message)
        if reply is not None:
            return _reply(reply)
        future: asyncio.Future[AnyReply] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            self._late.append(on_late)
            raise

    def lose(self) -> None:
        """The connection is lost: requests under way fail."""
        self.is_open = False
        for future in self._waiting:
            future.set_exception(ConnectionLost())

    def answer(self, **reply: object) -> None:
        """To the oldest request that waits."""
        self._waiting.pop(0).set_result(_reply(reply))

    def answer_late(self, **reply: object) -> None:
        """To the oldest request whose caller gave up."""
        on_late = self._late.pop(0)
        assert on_late is not None, "nobody wants a late reply"
        on_late(_reply(reply))

    async def until(self, is_reached: Callable[[], object]) -> None:
        """Return once what was sent or requested says so."""
        async with asyncio.timeout(FUSE_S):
            while not is_reached():
                self._changed.clear()
                await self._changed.wait()

    def types(self) -> list[str]:
        return [message["type"] for message in self.sent]


def _reply(answer: Answer) -> AnyReply:
    return cast("AnyReply", {"type": "reply", **answer})


class Told(Changes):
    """Keeps what a driver says of its jobs; `awaited` are the jobs that somebody waits for."""

    def __init__(self) -> None:
        self.states: list[tuple[str, State]] = []
        self.ended: list[str] = []
        self.awaited: set[str] = set()

    def changed(self, job_id: str, state: State) -> None:
        self.states.append((job_id, state))

    def finished(self, job_id: str) -> None:
        self.ended.append(job_id)

    def is_awaited(self, job_id: str) -> bool:
        return job_id in self.awaited


def spec_of(commands: int = 1, **fields: Any) -> JobSpec:
    lines = (BashCommand(command_line=f"echo {n}") for n in range(commands))
    return JobSpec(commands=tuple(lines), **fields)


def record_of(
    job_id: str, commands: int = 1, *, spec: JobSpec | None = None, **fields: Any
) -> JobRecord:
    spec = spec or spec_of(commands)
    return replace(
        JobRecord(
            id=job_id, created_at=1, spec=encode_spec(spec),
            commands=(CommandOutcome(),) * len(spec.commands),
        ),
        **fields,
    )  # fmt: skip


def slot(job_id: str) -> SlotGranted:
    return {"type": "slot_granted", "job": job_id}


def started(job_id: str, seq: int = 1, command: int = 0) -> StartedEvent:
    return {
        "type": "event", "job": job_id, "name": "started", "seq": seq, "command": command, "at": 10,
    }  # fmt: skip


def ended(job_id: str, seq: int = 2, command: int = 0, *, ends_job: bool = True) -> EndedEvent:
    return {
        "type": "event", "job": job_id, "name": "ended", "seq": seq, "command": command, "at": 20,
        "status": 0, "killed": False, "ends_job": ends_job,
    }  # fmt: skip


def finished(job_id: str, seq: int = 3) -> FinishedEvent:
    return {
        "type": "event", "job": job_id, "name": "finished", "seq": seq, "outcome": "exited",
        "at": 30, "end_offset": 5, "output_complete": True, "kill": None, "usage": None,
    }  # fmt: skip


def adopt(
    job_id: str,
    *events: Event,
    has_slot: bool = False,
    dispatched: int = -1,
    is_recovered: bool = False,
) -> Adopt:
    return {
        "type": "adopt", "job": job_id, "has_slot": has_slot, "dispatched": dispatched,
        "is_recovered": is_recovered, "events": list(events),
    }  # fmt: skip
