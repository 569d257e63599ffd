from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import pytest
from log_readers import FakeSink, subscribed, until_waiting, watching

from service.errors import CorruptLog, WatcherClosed
from service.output.fanout import MAX_FAN_OUT_BYTES
from service.output.formats.encoder import Encoder
from service.output.index import STDERR, STDOUT
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from service.output.chunk import Chunk
    from service.output.subscription import Subscription
    from service.output.watcher import LogWatcher
    from tests.output.conftest import Pipe

    Run = Callable[[Awaitable[object]], None]


class Job:
    """A log with a pipe into it."""

    def __init__(self, directory: Path, pipe: Pipe) -> None:
        self.directory = directory
        self.log = LogWriter.create(directory)
        self._pipe = pipe

    def put(self, data: bytes, stream: int = STDOUT) -> None:
        view = memoryview(data)
        while view:
            self._pipe.write(view[:60_000])
            self.log.splice_from(self._pipe.reader, stream, 0)
            view = view[60_000:]


@pytest.fixture
def job(job_dir: Path, make_pipe: Callable[[], Pipe]) -> Iterator[Job]:
    job = Job(job_dir, make_pipe())
    yield job
    job.log.detach()


class Crowd:
    """Readers that have all there is, and wait."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stack = ExitStack()
        self.sinks: list[FakeSink] = []
        self.subscriptions: list[Subscription] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.watcher: LogWatcher

    async def __aenter__(self) -> Self:
        self.watcher = self._stack.enter_context(watching())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._stack.close()

    async def join(
        self, stream: int | None = None, offset: int = 0, encoder: Encoder | None = None
    ) -> FakeSink:
        opened = subscribed(self.watcher, self._job.directory, offset, stream, encoder=encoder)
        subscription = self._stack.enter_context(opened)
        sink = FakeSink()
        self.sinks.append(sink)
        self.subscriptions.append(subscription)
        self.tasks.append(asyncio.ensure_future(subscription.copy_to(sink)))
        await self.waiting(len(self.sinks))
        return sink

    async def waiting(self, count: int) -> None:
        await until_waiting(self.watcher, self._job.directory, count)


def test_all_who_have_caught_up_are_handed_one_object(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            job.put(b"before ")
            sinks = [await crowd.join() for _ in range(3)]
            job.put(b"live")
            for sink in sinks:
                await sink.has(b"before live")
                assert sink.written == [b"before "]
            assert len({id(sink.handed[0]) for sink in sinks}) == 1
            job.log.close(complete=True)
            await asyncio.gather(*crowd.tasks)
            assert [subscription.offset for subscription in crowd.subscriptions] == [11] * 3

    run(scenario())


def test_who_cannot_take_it_reads_it_from_the_file_and_holds_nobody_up(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            slow, quick = await crowd.join(), await crowd.join()
            slow.hold_up()
            job.put(b"one ")
            await quick.has(b"one ")
            assert slow.all == b""
            slow.release()
            await slow.has(b"one ")
            assert (slow.handed, slow.written) == ([], [b"one "])
            assert (quick.handed, quick.written) == ([b"one "], [])
            await crowd.waiting(2)
            job.put(b"two")
            await slow.has(b"one two")
            await quick.has(b"one two")
            assert slow.handed[0] is quick.handed[1]

    run(scenario())


def test_flood_is_read_and_not_handed_on(job: Job, run: Run) -> None:
    flood = os.urandom(MAX_FAN_OUT_BYTES + 1)

    async def scenario() -> None:
        async with Crowd(job) as crowd:
            sinks = [await crowd.join() for _ in range(2)]
            job.put(flood)
            for sink in sinks:
                await sink.has(flood)
                assert sink.handed == []
            await crowd.waiting(2)
            job.put(b"line")
            for sink in sinks:
                await sink.has(flood + b"line")
                assert sink.handed == [b"line"]

    run(scenario())


def test_one_stream_is_handed_to_those_who_follow_it(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            both = await crowd.join()
            out, err = await crowd.join(STDOUT), await crowd.join(STDERR)
            job.put(b"o1")
            job.put(b"e1", STDERR)
            job.put(b"o2")
            await both.has(b"o1e1o2")
            await out.has(b"o1o2")
            await err.has(b"e1")
            job.log.close(complete=True)
            await asyncio.gather(*crowd.tasks)
            assert [f.offset for f in crowd.subscriptions] == [6, 4, 2]

    run(scenario())


def test_reader_that_joins_later_is_handed_what_comes_then(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            first = await crowd.join()
            job.put(b"a")
            second = await crowd.join()
            third = await crowd.join(offset=1)
            job.put(b"b")
            await first.has(b"ab")
            await second.has(b"ab")
            await third.has(b"b")

    run(scenario())


def test_reader_that_goes_is_handed_nothing_more(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            going, staying = await crowd.join(), await crowd.join()
            job.put(b"a")
            await going.has(b"a")
            crowd.tasks[0].cancel()
            await asyncio.wait(crowd.tasks[:1])
            assert crowd.subscriptions[0].offset == 1
            job.put(b"b")
            await staying.has(b"ab")
            assert going.all == b"a"

    run(scenario())


def test_reader_is_handed_all_though_it_goes_on_after_the_last_one_left(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            await crowd.join()
            crowd.tasks[0].cancel()
            await asyncio.wait(crowd.tasks[:1])
            job.put(b"nobody waits for this ")
            crowd.sinks.clear()
            late = await crowd.join()
            job.put(b"but for this")
            await late.has(b"nobody waits for this but for this")
            assert late.handed == [b"but for this"]

    run(scenario())


def test_closing_the_follower_ends_those_who_are_handed_output(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            await crowd.join()
            await crowd.join(STDERR)
            crowd.watcher.close()
            ends = await asyncio.gather(*crowd.tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [WatcherClosed] * 2

    run(scenario())


def test_damaged_header_ends_those_who_are_handed_output(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            await crowd.join()
            with open(job.directory / "runs", "r+b") as file:
                file.write(b"\0" * 128)
            ends = await asyncio.gather(*crowd.tasks, return_exceptions=True)
            assert isinstance(ends[0], CorruptLog)

    run(scenario())


def test_output_that_is_missing_from_the_file_ends_who_was_to_get_it(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            sink = await crowd.join()
            job.put(b"there")
            await sink.has(b"there")
            await crowd.waiting(1)
            # The header speaks of bytes that the file hasn't.
            os.truncate(job.directory / "output", 2)
            job.log._extent.end += 4
            job.log._extent.stdout_end += 4
            job.log._extent.tell(job.log.state)
            ends = await asyncio.gather(*crowd.tasks, return_exceptions=True)
            assert isinstance(ends[0], CorruptLog)
            assert sink.all == b"there"

    run(scenario())


class Shouting(Encoder):
    """Fails on what isn't text, and counts what it has encoded in its state."""

    needs_attribution = True

    def __init__(self) -> None:
        super().__init__()
        self.state = 0

    def chunk(self, chunk: Chunk) -> bytes:
        self.state += 1
        return b"%d:%s " % (self.state, chunk.data.decode("ascii").upper().encode())


def test_output_is_encoded_once_for_all_who_are_alike(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            job.put(b"a")
            sinks = [await crowd.join(encoder=Shouting()) for _ in range(3)]
            job.put(b"b", STDERR)
            for sink in sinks:
                await sink.has(b"1:A 2:B ")
            assert len({id(sink.handed[0]) for sink in sinks}) == 1
            late = await crowd.join(encoder=Shouting(), offset=2)
            job.put(b"c")
            for sink in sinks:
                await sink.has(b"1:A 2:B 3:C ")
            await late.has(b"1:C ")

    run(scenario())


def test_each_format_has_its_own_bytes(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            plain, shouting = await crowd.join(), await crowd.join(encoder=Shouting())
            job.put(b"a")
            await plain.has(b"a")
            await shouting.has(b"1:A ")

    run(scenario())


def test_encoder_knows_what_was_handed_when_its_reader_goes_on_by_itself(
    job: Job, run: Run
) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            slow, quick = Shouting(), Shouting()
            slow_sink, quick_sink = await crowd.join(encoder=slow), await crowd.join(encoder=quick)
            job.put(b"a")
            await slow_sink.has(b"1:A ")
            slow_sink.hold_up()
            job.put(b"b")
            await quick_sink.has(b"1:A 2:B ")
            assert slow.state in (1, 2)  # refused, and perhaps read again by now
            slow_sink.release()
            await slow_sink.has(b"1:A 2:B ")
            crowd.tasks[1].cancel()
            await asyncio.wait(crowd.tasks[1:])
            assert quick.state == 2

    run(scenario())


def test_fault_of_an_encoder_ends_those_who_use_it_and_nobody_else(job: Job, run: Run) -> None:
    async def scenario() -> None:
        async with Crowd(job) as crowd:
            plain = await crowd.join()
            await crowd.join(encoder=Shouting())
            await crowd.join(encoder=Shouting())
            job.put(b"\xff")
            ends = await asyncio.gather(*crowd.tasks[1:], return_exceptions=True)
            assert [type(end) for end in ends] == [UnicodeDecodeError] * 2
            await plain.has(b"\xff")
            job.put(b"on")
            await plain.has(b"\xffon")
            assert plain.handed == [b"\xff", b"on"]

    run(scenario())
