"""What is accepted comes out once and in order, at most so much of it waits, and everybody is told."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.link.to_supervisor import MAX_INPUT_BYTES
from service.supervisor.job.input import JobInput, Taken

PIPE_BYTES = 64 << 10


class Loop:
    """Of a selector: the test says when the pipe can be written to."""

    def __init__(self) -> None:
        self.callback = None

    def add_writer(self, _descriptor, callback) -> None:
        self.callback = callback

    def remove_writer(self, _descriptor) -> None:
        self.callback = None

    def turn(self) -> None:
        if self.callback is not None:
            self.callback()


def read(job_input: JobInput, count: int) -> bytes:
    os.set_blocking(job_input.reader, False)
    try:
        return os.read(job_input.reader, count)
    except BlockingIOError:
        return b""


SIZES = st.sampled_from([0, 1, 4095, 4096, 4097, 30_000, MAX_INPUT_BYTES])
STEPS = st.lists(
    st.tuples(st.just("write"), SIZES, st.sampled_from([None, "right", "wrong"]))
    | st.tuples(st.just("read"), st.sampled_from([1, 5000, PIPE_BYTES, 4 * PIPE_BYTES]))
    | st.tuples(st.just("upgrade")),
    max_size=25,
)


@given(STEPS)
def test_what_is_accepted_comes_out_once_and_in_order(steps):
    loop = Loop()
    job_input = JobInput.pipe(loop, None)
    accepted, came, told = bytearray(), bytearray(), {}

    def write(number: int, data: bytes, offset: int | None) -> None:
        def reply(taken: Taken) -> None:
            assert number not in told, "a reply comes once"
            told[number] = taken

        before = job_input.snapshot().taken
        job_input.write(data, offset, reply, end=False)
        if job_input.snapshot().taken > before:
            accepted.extend(data)

    for number, step in enumerate(steps):
        match step:
            case "write", size, where:
                taken = job_input.snapshot().taken
                offset = {None: None, "right": taken, "wrong": taken + 1}[where]
                write(number, bytes([number % 256]) * size, offset)
                if where == "wrong":
                    assert told[number] == Taken(taken, "offset")
            case "read", count:
                came += read(job_input, count)
                loop.turn()
            case _:
                snapshot = job_input.snapshot()
                loop.callback = None
                job_input = JobInput.resume(loop, snapshot)
        snapshot = job_input.snapshot()
        assert snapshot.taken == len(accepted)
        assert len(snapshot.waiting) <= MAX_INPUT_BYTES
        assert all(t.offset <= len(accepted) for t in told.values())
    while data := read(job_input, 4 * PIPE_BYTES):
        came += data
        loop.turn()
    assert came == accepted
    assert job_input.close() == len(accepted)


def waiting(pieces: int) -> tuple[JobInput, Loop, list[Taken]]:
    """An input whose pipe is full, with so many pieces that wait: the first one in it."""
    loop, told = Loop(), []
    job_input = JobInput.pipe(loop, None)
    for _ in range(pieces + 1):
        job_input.write(bytes(PIPE_BYTES), None, told.append, end=False)
    assert told == [Taken(PIPE_BYTES)]
    told.clear()
    return job_input, loop, told


def test_those_who_wait_are_told_when_the_job_is_over():
    job_input, _, told = waiting(3)
    assert job_input.close() == PIPE_BYTES
    assert told == [Taken(PIPE_BYTES, "ended")] * 3
    job_input.write(b"x", None, told.append, end=False)
    job_input.write(b"", None, told.append, end=False)
    assert told[3:] == [Taken(PIPE_BYTES, "ended")] * 2


def test_those_who_wait_are_told_when_nobody_reads_any_more():
    job_input, loop, told = waiting(3)
    job_input.close_reader()
    loop.turn()
    assert told == [Taken(PIPE_BYTES, "closed")] * 3
    assert loop.callback is None
    assert job_input.close() == PIPE_BYTES


def test_room_is_told_to_those_who_need_it_in_their_order():
    job_input, loop, told = waiting(3)
    read(job_input, PIPE_BYTES)
    loop.turn()
    assert told[0] == Taken(2 * PIPE_BYTES)
    assert {taken.why for taken in told[1:]} == {"no_room"}
    job_input.close()


def test_the_end_comes_behind_all_that_waits():
    job_input, loop, told = waiting(1)
    job_input.write(b"", None, told.append, end=True)
    job_input.write(b"x", None, told.append, end=False)
    assert told == [Taken(2 * PIPE_BYTES, "closed")]
    read(job_input, PIPE_BYTES)
    loop.turn()
    assert told[1:] == [Taken(2 * PIPE_BYTES)] * 2
    read(job_input, PIPE_BYTES)
    assert os.read(job_input.reader, 1) == b""
    job_input.close()


@pytest.mark.once
async def test_a_real_loop_writes_when_there_is_room():
    loop = asyncio.get_running_loop()
    job_input = JobInput.pipe(loop, None)
    done = loop.create_future()
    for number in range(2):
        job_input.write(
            bytes(PIPE_BYTES), None, done.set_result if number else lambda _: None, end=False
        )
    assert not done.done()
    read(job_input, PIPE_BYTES)
    assert await done == Taken(2 * PIPE_BYTES)
    job_input.close()
