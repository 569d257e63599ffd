"""Following a job whose log is there, isn't there yet, or never will be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from log_readers import FakeSink, turn, watching

from service.engine.job_subscription import JobSubscription
from service.engine.stored_output import StoredOutput
from service.errors import (
    CorruptLog,
    InsufficientStorage,
    OffsetBeyondEnd,
    Unavailable,
    UnknownJob,
)
from service.files.job import JobFiles, job_files
from service.jobs.record import JobRecord
from service.jobs.states import State
from service.output.chunk import Chunk
from service.output.formats.encoder import Encoder
from service.output.formats.plain_text import PlainText
from service.output.index import STDOUT
from service.output.watcher import LogWatcher
from service.output.writer import LogWriter

JOB = "3f0f6f4a-31f0-4f0e-8a52-6c0b0d6f6f4a"


class Jobs:
    """One job, in the state that the test gives it."""

    def __init__(self, state_dir: Path, state: State) -> None:
        self._files = job_files(state_dir, JOB)
        self._changed = asyncio.Event()
        self.current: State | None = state
        self.recorded = 0
        self.asked: list[str] = []
        self.log: LogWriter | None = None
        self.refusal: Exception | None = None

    def becomes(self, state: State | None) -> None:
        self.current = state
        self._changed.set()

    def write(self, data: bytes) -> None:
        self.ensure_log()
        reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)
        self.log.splice_from(reader, STDOUT, 0)
        os.close(reader)

    def ensure_log(self) -> None:
        if self.log is None:
            Path(self._files.log).mkdir(parents=True)
            self.log = LogWriter.create(self._files.log)

    def finish(self, state: State = State.EXITED) -> None:
        if self.log is not None:
            self.recorded = self.log.end
            self.log.close(complete=True)
        self.becomes(state)

    def show(self, job_id: str) -> JobRecord:
        return JobRecord(
            seq=1, id=job_id, spec=b"", commands=(), created_at=1, state=self.state(job_id)
        )

    def state(self, job_id: str) -> State:
        assert job_id == JOB
        if self.current is None:
            raise UnknownJob(job_id)
        return self.current

    def output_end(self, job_id: str) -> int:
        assert job_id == JOB
        return self.recorded

    def files(self, job_id: str) -> JobFiles:
        assert job_id == JOB
        return self._files

    async def make_log(self, job_id: str) -> None:
        assert job_id == JOB
        self.asked.append("make_log")
        if self.refusal is not None:
            raise self.refusal
        if self.current is State.RUNNING:
            self.ensure_log()

    async def wait_started(self, job_id: str) -> None:
        self.asked.append("wait_started")
        while self.state(job_id) is State.PENDING:
            self._changed.clear()
            await self._changed.wait()

    async def wait_finished(self, job_id: str) -> None:
        assert job_id == JOB
        self.asked.append("wait_finished")
        while self.current in (State.PENDING, State.RUNNING):
            self._changed.clear()
            await self._changed.wait()


class Framed(Encoder):
    """Shows where the output begins and ends."""

    def head(self) -> bytes:
        return b"<"

    def chunk(self, chunk: Chunk) -> bytes:
        return chunk.data

    def end(self, record: Mapping[str, object], offset: int) -> bytes:
        return b">"


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path, State.RUNNING)
    yield jobs
    if jobs.log is not None:
        jobs.log.detach()


@pytest.fixture
async def watcher():
    with watching() as opened:
        yield opened


def follow(
    jobs: Jobs,
    watcher: LogWatcher,
    *,
    offset: int = 0,
    follow: bool = True,
    encoder: Encoder | None = None,
) -> JobSubscription:
    return JobSubscription(
        jobs, watcher, JOB, encoder or PlainText(), offset=offset, stream=None, follow=follow
    )


def stored_output(jobs: Jobs, watcher: LogWatcher) -> StoredOutput:
    return StoredOutput(jobs, watcher, JOB, None)


async def waits(sink: FakeSink, task: asyncio.Task[None], for_what: str, jobs: Jobs) -> None:
    while for_what not in jobs.asked:
        await turn()
    assert not task.done()
    assert sink.all == b""


async def test_a_running_job_is_followed_until_it_is_finished(jobs, watcher):
    jobs.write(b"before ")
    async with follow(jobs, watcher) as output:
        assert (output.offset, output.length) == (0, None)
        assert output.descriptor is not None
        sink = FakeSink()
        copying = asyncio.create_task(output.copy_to(sink))
        await sink.has(b"before ")
        jobs.write(b"live")
        await sink.has(b"before live")
        jobs.log.close(complete=True)
        while "wait_finished" not in jobs.asked:
            await turn()
        assert not copying.done()  # whoever sees the end finds the job finished
        jobs.becomes(State.EXITED)
        await copying
        assert jobs.asked == ["wait_finished"]


async def test_the_log_of_a_silent_running_job_is_made_for_its_reader(jobs, watcher):
    async with follow(jobs, watcher, offset=-5) as output:
        assert jobs.asked == ["make_log"]
        assert (output.offset, output.length) == (0, None)
        sink = FakeSink()
        copying = asyncio.create_task(output.copy_to(sink))
        jobs.write(b"word")
        await sink.has(b"word")
        jobs.finish()
        await copying


async def test_a_log_that_cannot_be_made_is_told_before_anything_is_sent(jobs, watcher):
    jobs.refusal = InsufficientStorage("The disk is full.")
    with pytest.raises(InsufficientStorage):
        async with follow(jobs, watcher):
            pass


async def test_a_pending_job_is_waited_for(jobs, watcher):
    jobs.current = State.PENDING
    async with follow(jobs, watcher, encoder=Framed()) as output:
        assert (output.offset, output.length, output.descriptor) == (0, None, None)
        assert jobs.asked == []
        sink = FakeSink()
        copying = asyncio.create_task(output.copy_to(sink))
        await sink.has(b"<")
        jobs.becomes(State.RUNNING)
        while "make_log" not in jobs.asked:
            await turn()
        jobs.write(b"word")
        await sink.has(b"<word")
        jobs.finish()
        await copying
        assert sink.all == b"<word>"


async def test_output_waits_until_the_start_of_its_job_is_stored(jobs, watcher):
    jobs.current = State.PENDING
    jobs.write(b"word")  # written before the start was reported
    async with follow(jobs, watcher, follow=False) as stored:
        assert stored.length == 0
    async with stored_output(jobs, watcher) as present:
        assert present.size == 0
    async with follow(jobs, watcher) as output:
        sink = FakeSink()
        copying = asyncio.create_task(output.copy_to(sink))
        await waits(sink, copying, "wait_started", jobs)
        jobs.becomes(State.RUNNING)
        await sink.has(b"word")
        async with stored_output(jobs, watcher) as present:
            assert present.size == 4
        jobs.finish()
        await copying


async def test_a_pending_job_that_never_ran_has_an_empty_output(jobs, watcher):
    jobs.current = State.PENDING
    async with follow(jobs, watcher) as output:
        sink = FakeSink()
        copying = asyncio.create_task(output.copy_to(sink))
        await waits(sink, copying, "wait_started", jobs)
        jobs.becomes(State.KILLED)
        await copying
        assert sink.all == b""


async def test_a_pending_job_that_is_cleaned_meanwhile_is_unknown(jobs, watcher):
    jobs.current = State.PENDING
    async with follow(jobs, watcher) as output:
        sink = FakeSink()
        copying = asyncio.create_task(output.copy_to(sink))
        await waits(sink, copying, "wait_started", jobs)
        jobs.becomes(None)
        with pytest.raises(UnknownJob):
            await copying


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING, State.EXITED])
async def test_an_offset_beyond_no_output_is_refused(jobs, watcher, state):
    jobs.current = state
    with pytest.raises(OffsetBeyondEnd) as caught:
        async with follow(jobs, watcher, offset=1):
            pass
    assert caught.value.end == 0
    assert jobs.asked == []


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
async def test_without_follow_a_job_without_output_is_over_at_once(jobs, watcher, state):
    jobs.current = state
    async with follow(jobs, watcher, follow=False, encoder=Framed()) as output:
        sink = FakeSink()
        await output.copy_to(sink)
        assert sink.all == b"<>"
        assert jobs.asked == []


async def test_without_follow_a_live_job_ends_where_its_log_ended(jobs, watcher):
    jobs.write(b"now")
    async with follow(jobs, watcher, offset=1, follow=False) as output:
        assert (output.offset, output.length) == (1, 2)
        jobs.write(b", later")
        sink = FakeSink()
        await output.copy_to(sink)
        assert sink.all == b"ow"


async def test_a_finished_job_is_replayed_with_a_known_length(jobs, watcher):
    jobs.write(b"all of it")
    jobs.finish()
    async with follow(jobs, watcher, offset=-2, encoder=PlainText()) as output:
        assert (output.offset, output.length) == (7, 2)
        sink = FakeSink()
        await output.copy_to(sink)
        assert sink.all == b"it"
        assert jobs.asked == []


async def test_a_finished_job_whose_log_was_never_closed_ends_where_it_ends(jobs, watcher):
    jobs.write(b"left")
    jobs.recorded = 4
    jobs.becomes(State.KILLED)
    async with follow(jobs, watcher) as output:
        assert output.length == 4
        sink = FakeSink()
        await output.copy_to(sink)
        assert sink.all == b"left"


async def test_a_finished_job_without_a_log_has_an_empty_output(jobs, watcher):
    jobs.current = State.EXITED
    async with follow(jobs, watcher) as output:
        assert (output.offset, output.length, output.descriptor) == (0, 0, None)
        sink = FakeSink()
        await output.copy_to(sink)
        assert sink.all == b""


@pytest.mark.parametrize("has_log", [False, True])
async def test_output_that_the_record_tells_of_and_that_is_gone_is_damage(jobs, watcher, has_log):
    if has_log:
        jobs.write(b"half")
    jobs.recorded = 8
    jobs.becomes(State.EXITED)
    with pytest.raises(CorruptLog):
        async with follow(jobs, watcher):
            pass


async def test_an_output_that_ends_before_its_record_does_is_no_clean_end(jobs, watcher):
    jobs.write(b"half")
    async with follow(jobs, watcher, encoder=Framed()) as output:
        sink = FakeSink()
        copying = asyncio.create_task(output.copy_to(sink))
        await sink.has(b"<half")
        jobs.finish()
        jobs.recorded = 8
        with pytest.raises(CorruptLog):
            await copying
        assert sink.all == b"<half"


async def test_a_worker_that_stops_has_nothing_to_follow(jobs, watcher):
    jobs.write(b"x")
    watcher.close()
    with pytest.raises(Unavailable):
        async with follow(jobs, watcher):
            pass


async def test_an_unknown_job_has_nothing_to_follow(jobs, watcher):
    jobs.current = None
    with pytest.raises(UnknownJob):
        async with follow(jobs, watcher):
            pass
