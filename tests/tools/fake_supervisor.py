"""The supervisor of a test: it answers a session's requests as it is told, and its messages."""

import asyncio

from msgspec.structs import replace

from service.engine.changes import Changes
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.spec import JobSpec
from service.kinds.bash import BashCommand
from service.kinds.stored import encode_spec
from service.link.session import ConnectionLost

FUSE_S = 30


class FakeSession:
    """Stands for the supervisor's socket; the real one is in the tests that start a supervisor.
    `replies` are given by the type of a request; a request without one waits for `answer`.
    """

    def __init__(self):
        self.is_open = True
        self.sent = []
        self.requested = []
        self.replies = {}
        self._waiting = []
        self._late = []
        self._changed = asyncio.Event()

    def send(self, *messages):
        self.sent += messages
        self._changed.set()

    async def request(self, message, *, on_late=None):
        self.requested.append(message)
        self._changed.set()
        reply = self.replies.get(message["type"])
        if callable(reply):
            reply = reply(message)
        if reply is not None:
            return {"type": "reply", **reply}
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            self._late.append(on_late)
            raise

    def lose(self):
        """The connection is lost: requests under way fail."""
        self.is_open = False
        for future in self._waiting:
            future.set_exception(ConnectionLost())

    def answer(self, **reply):
        """To the oldest request that waits."""
        self._waiting.pop(0).set_result({"type": "reply", **reply})

    def answer_late(self, **reply):
        """To the oldest request whose caller gave up."""
        self._late.pop(0)({"type": "reply", **reply})

    async def until(self, is_reached):
        """Return once what was sent or requested says so."""
        async with asyncio.timeout(FUSE_S):
            while not is_reached():
                self._changed.clear()
                await self._changed.wait()

    def types(self):
        return [message["type"] for message in self.sent]


class Told(Changes):
    """Keeps what a driver says of its jobs; `awaited` are the jobs that somebody waits for."""

    def __init__(self):
        self.states = []
        self.ended = []
        self.awaited = set()

    def changed(self, job_id, state):
        self.states.append((job_id, state))

    def finished(self, job_id):
        self.ended.append(job_id)

    def is_awaited(self, job_id):
        return job_id in self.awaited


def spec_of(commands=1, **fields):
    lines = (BashCommand(command_line=f"echo {n}") for n in range(commands))
    return JobSpec(commands=tuple(lines), **fields)


def record_of(job_id, commands=1, *, spec=None, **fields):
    spec = spec or spec_of(commands)
    return replace(
        JobRecord(
            id=job_id, created_at=1, spec=encode_spec(spec),
            commands=(CommandOutcome(),) * len(spec.commands),
        ),
        **fields,
    )  # fmt: skip


def slot(job_id):
    return {"type": "slot_granted", "job": job_id}


def event(job_id, name, seq, **fields):
    return {"type": "event", "job": job_id, "name": name, "seq": seq, **fields}


def started(job_id, seq=1, command=0):
    return event(job_id, "started", seq, command=command, at=10)


def ended(job_id, seq=2, command=0, *, ends_job=True):
    return event(
        job_id, "ended", seq, command=command, at=20, status=0, killed=False, ends_job=ends_job
    )


def finished(job_id, seq=3):
    return event(
        job_id, "finished", seq, outcome="exited", at=30, end_offset=5, output_complete=True,
        kill=None, usage=None,
    )  # fmt: skip


def adopt(job_id, *events, has_slot=False, dispatched=-1, is_recovered=False):
    return {
        "type": "adopt", "job": job_id, "has_slot": has_slot, "dispatched": dispatched,
        "is_recovered": is_recovered, "events": list(events),
    }  # fmt: skip
