"""Input of a WebSocket's client: nothing is taken faster than the job reads, and all that came is delivered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from log_readers import turn

from service.api.channels import EXACT, KUBERNETES, RAW
from service.api.client_input import ClientInput
from service.errors import (
    InputClosed,
    InputOffset,
    JobNotRunning,
    JobrunnerError,
    NoInput,
    Unavailable,
)
from service.web.streaming import StreamAborted

pytestmark = pytest.mark.once
V5, _ = KUBERNETES
KIB = 1024


class Line:
    """A connection: whether it is read from, and why it was closed."""

    def __init__(self) -> None:
        self.is_paused = False
        self.closed: tuple[int, str] | None = None
        self.answers: list[tuple[int, bool]] = []
        self.is_gone = False

    async def write(self, data: bytes) -> None:
        if self.is_gone:
            raise StreamAborted("gone")
        assert data[2] == 0  # behind the head of a frame: the channel
        told = json.loads(data[3:])
        self.answers.append((told["Offset"], told["Refused"]))

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Job:
    """Takes a piece for each `read`, as a pipe does for a job that reads."""

    def __init__(self, error: JobrunnerError | None = None) -> None:
        self.taken: list[Any] = []
        self.sizes: list[tuple[int, int]] = []
        self._error = error
        self._reads = asyncio.Semaphore(0)
        self._count = 0

    def read(self, times: int = 1) -> None:
        for _ in range(times):
            self._reads.release()

    async def resize(self, rows: int, cols: int) -> None:
        self.sizes.append((rows, cols))

    async def write(self, data: bytes, offset: int | None = None, *, eof: bool = False) -> int:
        if self._error is not None:
            raise self._error
        if offset is not None and offset != self._count:
            raise InputOffset("1", self._count)
        await self._reads.acquire()
        self._count += len(data)
        self.taken.append("eof" if eof else data)
        return self._count


def made(job: Job | None, subprotocol: Any = RAW) -> tuple[ClientInput, Line]:
    came, line = ClientInput(subprotocol, job, "only watches"), Line()
    came.attach(line)
    return came, line


async def settled() -> None:
    for _ in range(20):
        await turn()


async def test_what_comes_while_the_job_does_not_read_is_joined_and_bounded() -> None:
    job = Job()
    came, line = made(job)
    delivering = asyncio.create_task(came.deliver())
    came.received(b"a")
    await settled()  # under way
    for _ in range(64):
        came.received(bytes(KIB))
        assert not line.is_paused  # its pings are seen
    came.received(b"z")
    assert line.is_paused
    job.read()
    await settled()
    assert (job.taken, line.is_paused) == ([b"a"], True)  # the next one isn't taken yet
    job.read()
    await settled()
    assert (len(job.taken[1]), line.is_paused) == (64 * KIB, False)
    job.read()
    came.end()
    await delivering
    assert b"".join(job.taken) == b"a" + bytes(64 * KIB) + b"z"


async def test_all_that_came_is_delivered_after_the_client_has_gone() -> None:
    job = Job()
    came, _ = made(job, V5)
    delivering = asyncio.create_task(came.deliver())
    came.received(b"\x00last words")
    came.received(b"\xff\x00")
    came.end()
    await settled()
    assert not delivering.done()
    job.read(2)
    await delivering
    assert job.taken == [b"last words", "eof"]


def at(offset: int, data: bytes = b"") -> bytes:
    return b"\x00" + offset.to_bytes(8) + data


async def test_input_with_offsets_is_written_there_or_not_at_all_and_answered_in_turn() -> None:
    job = Job()
    job.read(9)
    came, line = made(job, EXACT)
    for message in (at(7), at(0, b"ab"), at(0, b"ab"), at(2, b"c"), at(9)):
        came.received(message)
    came.end()
    await came.deliver()
    assert b"".join(job.taken) == b"abc"
    assert line.answers == [(0, False), (2, False), (2, True), (3, False), (3, False)]


async def test_input_with_offsets_is_bounded_and_outlives_its_client() -> None:
    job = Job()
    came, line = made(job, EXACT)
    delivering = asyncio.create_task(came.deliver())
    for _ in range(1025):  # empty ones count too
        came.received(at(0))
    assert line.is_paused
    job.read(1024)
    await settled()
    assert not line.is_paused
    came.received(at(0, b"last words"))
    line.is_gone = True
    came.end()
    job.read(2)
    await delivering
    assert (job.taken[-1], line.closed) == (b"last words", None)


async def test_each_piece_with_an_offset_is_answered_though_the_job_takes_no_more() -> None:
    came, line = made(Job(InputClosed("1", 4)), EXACT)
    for message in (at(4, b"more"), at(0, b"more"), at(0)):
        came.received(message)
    came.end()
    await came.deliver()
    assert (line.answers, line.closed) == ([(4, True)] * 3, None)


async def test_input_behind_its_end_is_refused() -> None:
    job = Job()
    job.read(9)
    came, line = made(job, V5)
    delivering = asyncio.create_task(came.deliver())
    came.received(b"\xff\x00")
    came.received(b"\xff\x00")  # once more changes nothing
    await settled()
    assert (job.taken, line.closed) == (["eof"], None)
    came.received(b"\x00more")
    assert line.closed is not None
    assert line.closed[0] == 1008
    came.end()
    await delivering


async def test_one_that_only_watches_is_told_so_and_a_bad_message_what_is_wrong() -> None:
    came, line = made(None)
    await came.deliver()
    came.received(b"")
    assert line.closed is None
    came.received(b"x")
    assert line.closed == (1008, "only watches")
    came, line = made(None, V5)
    came.received(b"\x09")
    assert line.closed is not None
    assert line.closed[0] == 1003


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobNotRunning("over"), None),
        (InputClosed("1", 4), None),
        (NoInput("1"), 1008),
        (Unavailable("stopping"), 1011),
    ],
)
async def test_what_can_not_be_written_closes_the_connection_unless_nobody_reads_any_more(
    error: JobrunnerError, code: int | None
) -> None:
    came, line = made(Job(error))
    came.received(bytes(65 * KIB))
    assert line.is_paused
    await came.deliver()
    assert (line.closed and line.closed[0], line.is_paused) == (code, False)
    came.received(b"more")  # goes nowhere
    assert not line.is_paused


async def test_a_size_waits_for_no_input_and_the_last_one_counts() -> None:
    job = Job()
    came, line = made(job, V5)
    delivering = asyncio.create_task(came.deliver())
    came.received(b"\x00the job doesn't read")
    await settled()
    came.received(b'\x04{"Width": 80, "Height": 24}')
    came.received(b'\x04{"Width": 100, "Height": 30}')
    await settled()
    assert (job.sizes, job.taken) == ([(30, 100)], [])
    job.read(2)
    came.received(b"\xff\x00")
    came.received(b'\x04{"Width": 90, "Height": 20}')  # also behind the end of input
    came.end()
    await delivering
    assert (job.sizes, line.closed) == ([(30, 100), (20, 90)], None)


async def test_a_size_of_one_that_watches_means_nothing() -> None:
    came, line = made(None, V5)
    came.received(b'\x04{"Width": 80, "Height": 24}')
    await came.deliver()
    assert line.closed is None
