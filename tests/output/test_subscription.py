from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from log_readers import (
    FakeSink,
    collected,
    subscribed,
    turn,
    until_waiting,
    wait_past,
    watched,
    watching,
)

from service.errors import CorruptLog, OffsetBeyondEnd, WatcherClosed
from service.output.formats.plain_text import MarkedPlainText
from service.output.index import STDERR, STDOUT, LogState
from service.output.reader import LogReader
from service.output.watcher import LogWatcher
from service.output.writer import LogWriter

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable, Iterator

    from service.output.sink import FileSource
    from tests.output.conftest import Pipe

    Run = Callable[[Awaitable[object]], None]


class Job:
    """A log with a pipe into it."""

    def __init__(self, directory: Path, pipe: Pipe, limit: int = 0) -> None:
        self.directory = directory
        self.log = LogWriter.create(directory, limit=limit)
        self._pipe = pipe

    def put(self, data: bytes, stream: int = STDOUT, command: int = 0) -> None:
        view = memoryview(data)
        while view:
            step = view[:60_000]
            self._pipe.write(step)
            self.log.splice_from(self._pipe.reader, stream, command)
            view = view[len(step) :]

    def finish(self, *, complete: bool = True) -> None:
        self.log.close(complete=complete)


@pytest.fixture
def job(job_dir: Path, make_pipe: Callable[[], Pipe]) -> Iterator[Job]:
    job = Job(job_dir, make_pipe())
    yield job
    job.log.detach()


def inotify_watches() -> list[str]:
    """The watches of this process, as the kernel counts them."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            info = Path(f"/proc/self/fdinfo/{fd}").read_text()
        except OSError:
            continue
        found += [line for line in info.splitlines() if line.startswith("inotify wd:")]
    return found


def open_files_in(directory: Path) -> int:
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum(
        os.readlink(link).startswith(str(directory)) for link in links if os.path.exists(link)
    )


def test_finished_log_is_replayed_whole(job: Job, run: Run) -> None:
    data = os.urandom(700_000)
    job.put(data)
    job.put(b"err", STDERR)
    job.finish()

    async def scenario() -> None:
        with watching() as watcher, subscribed(watcher, job.directory) as subscription:
            assert subscription.length == len(data) + 3
            assert await collected(subscription) == data + b"err"
            assert subscription.state == LogState(
                len(data) + 3, len(data), closed=True, complete=True
            )
            # Replay needs no watch, so a kernel that refuses more of them can't refuse replay.
            assert inotify_watches() == []

    run(scenario())


def test_late_reader_sees_output_from_the_start_then_live(job: Job, run: Run) -> None:
    job.put(b"before ")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with watching() as watcher, subscribed(watcher, job.directory) as subscription:
            assert subscription.length is None
            sink = FakeSink()
            reading = asyncio.ensure_future(subscription.copy_to(sink))
            expected = b"before "
            await sink.has(expected)
            job.put(b"between ")
            expected += b"between "
            await sink.has(expected)
            for word in (b"live ", b"\0", b"\r\n"):
                loop.call_soon(job.put, word)
                expected += word
                await sink.has(expected)
            loop.call_soon(job.finish)
            await reading
            assert sink.all == expected
            assert subscription.offset == job.log.end
            assert subscription.state.complete

    run(scenario())


@pytest.mark.parametrize("stream", [STDOUT, STDERR])
def test_one_stream_is_followed_without_the_other(job: Job, run: Run, stream: int) -> None:
    other = STDOUT + STDERR - stream
    job.put(b"xx", other)
    job.put(b"0123456", stream)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with watching() as watcher, subscribed(watcher, job.directory, 3, stream) as subscription:
            sink = FakeSink()
            reading = asyncio.ensure_future(subscription.copy_to(sink))
            await sink.has(b"3456")

            def more() -> None:
                job.put(b"yyyy", other)
                job.put(b"78", stream, 1)
                job.put(b"z", other)
                job.put(b"9", stream, 2)
                job.finish()

            loop.call_soon(more)
            await reading
            assert sink.all == b"3456789"
            assert subscription.offset == subscription.state.size(stream) == 10

    run(scenario())


@pytest.mark.parametrize("closed", [True, False])
def test_without_follow_it_ends_where_the_log_ended_at_opening(
    job: Job, run: Run, *, closed: bool
) -> None:
    job.put(b"at opening")
    if closed:
        job.finish()

    async def scenario() -> None:
        with (
            watching() as watcher,
            subscribed(watcher, job.directory, 3, follow=False) as subscription,
        ):
            assert subscription.length == 7
            if not closed:
                job.put(b", later")
            assert await collected(subscription) == b"opening"

    run(scenario())


@pytest.mark.parametrize(
    ("offset", "stream", "expected"),
    [
        (0, None, b"outerr"),
        (6, None, b""),
        (-2, None, b"rr"),
        (-100, None, b"outerr"),
        (-1, STDOUT, b"t"),
        (3, STDOUT, b""),
        (-3, STDERR, b"err"),
        (1, STDERR, b"rr"),
    ],
)
def test_offset_counts_from_the_start_or_back_from_the_end(
    job: Job, run: Run, offset: int, stream: int | None, expected: bytes
) -> None:
    job.put(b"out")
    job.put(b"err", STDERR)
    job.finish()

    async def scenario() -> None:
        with (
            watching() as watcher,
            subscribed(watcher, job.directory, offset, stream) as subscription,
        ):
            assert subscription.length == len(expected)
            assert await collected(subscription) == expected

    run(scenario())


@pytest.mark.parametrize(("offset", "stream", "end"), [(7, None, 6), (4, STDOUT, 3)])
def test_offset_beyond_the_end_is_refused(
    job: Job, run: Run, offset: int, stream: int | None, end: int
) -> None:
    job.put(b"out")
    job.put(b"err", STDERR)

    async def scenario() -> None:
        with watching() as watcher:
            with pytest.raises(OffsetBeyondEnd) as caught:
                with subscribed(watcher, job.directory, offset, stream):
                    pass
            assert caught.value.end == end

    run(scenario())


def test_log_that_is_not_there_is_not_found(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        with watching() as watcher:
            with pytest.raises(FileNotFoundError):
                with subscribed(watcher, tmp_path / "nothing"):
                    pass

    run(scenario())


def test_reading_may_be_broken_off_and_taken_up_again(job: Job, run: Run) -> None:
    job.put(b"first")

    async def scenario() -> None:
        with watching() as watcher, subscribed(watcher, job.directory) as subscription:
            sink = FakeSink()
            waiting = asyncio.ensure_future(subscription.copy_to(sink))
            await sink.has(b"first")
            await until_waiting(watcher, job.directory, 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until_waiting(watcher, job.directory, 0)
            job.put(b"second")
            job.finish()
            assert await collected(subscription) == b"second"

    run(scenario())


def test_a_thousand_followers_of_a_job_share_one_watch_and_its_files(job: Job, run: Run) -> None:
    count = 1000
    job.put(b"start ")
    expected = b"start " + b"".join(b"line %d\n" % i for i in range(50))

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            watcher = stack.enter_context(watching())
            files = open_files_in(job.directory)
            subscriptions = [
                stack.enter_context(subscribed(watcher, job.directory, 0, (None, STDOUT)[i % 2]))
                for i in range(count)
            ]
            tasks = [asyncio.ensure_future(collected(f)) for f in subscriptions]
            await until_waiting(watcher, job.directory, count)
            assert len(inotify_watches()) == 1
            assert open_files_in(job.directory) == files + 2
            for i in range(50):
                loop.call_soon(job.put, b"line %d\n" % i)
            loop.call_soon(job.finish)
            assert set(await asyncio.gather(*tasks)) == {expected}
        assert inotify_watches() == []
        assert open_files_in(job.directory) == files - 2  # the writer's, closed by finish

    run(scenario())


def test_two_paths_to_one_log_wake_both_readers(job: Job, run: Run) -> None:
    other_path = job.directory.parent / "link"
    other_path.symlink_to(job.directory)

    async def scenario() -> None:
        with watching() as watcher:
            logs = [watcher.watch(path) for path in (job.directory, other_path)]
            waits = [asyncio.ensure_future(wait_past(log, 0)) for log in logs]
            asyncio.get_running_loop().call_soon(job.put, b"x")
            assert [state.end for state in await asyncio.gather(*waits)] == [1, 1]
            logs[0].release()
            asyncio.get_running_loop().call_soon(job.put, b"x")
            assert (await wait_past(logs[1], 1)).end == 2
            logs[1].release()

    run(scenario())


def test_no_wake_up_is_lost_whatever_comes_first(job: Job, run: Run) -> None:
    # The writer, in a thread of its own, adds the next byte the moment it hears of the last: it
    # meets the reader before, in and after its step from looking to waiting.
    rounds = 2000
    ready, go = os.pipe2(os.O_CLOEXEC)

    def write() -> None:
        for _ in range(rounds):
            if not os.read(ready, 1):
                return
            job.put(b"x")

    writer = threading.Thread(target=write)
    writer.start()

    async def scenario() -> None:
        with watching() as watcher:
            log = watcher.watch(job.directory)
            for number in range(rounds):
                if number % 100 == 0:
                    log.release()
                    log = watcher.watch(job.directory)
                os.write(go, b".")
                await wait_past(log, number)
            log.release()

    try:
        run(scenario())
    finally:
        os.close(go)
        writer.join()
        os.close(ready)


@pytest.mark.parametrize("moment", ["c_call", "c_return"])
def test_byte_written_around_the_first_look_at_the_header_wakes(
    job: Job, run: Run, moment: str
) -> None:
    # Before the look it is seen, after it it must make an event: the watch is there already.
    def on_event(_frame: object, event: str, function: object) -> None:
        if event == moment and function is os.pread:
            sys.setprofile(None)
            job.put(b"x")

    async def scenario() -> None:
        with watching() as watcher:
            with watched(watcher, job.directory) as log:
                sys.setprofile(on_event)
                try:
                    assert (await wait_past(log, 0)).end == 1
                finally:
                    sys.setprofile(None)

    run(scenario())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("stream", [0, STDOUT, STDERR])
def test_reader_in_another_process_sees_every_byte(
    job: Job, start_child: Callable[..., subprocess.Popen[bytes]], loop: str, stream: int
) -> None:
    child = start_child("subscribing_child.py", job.directory, 2, stream, loop)
    expected = {0: b"", STDOUT: b"", STDERR: b""}

    def put(data: bytes, to: int) -> None:
        job.put(data, to)
        expected[0] += data
        expected[to] += data

    put(b"0123", STDOUT)
    put(b"4567", STDERR)
    assert child.stdout.readline() == b"ready\n"
    for number in range(300):
        put(os.urandom(1 + number * 37), STDOUT)
        put(os.urandom(1 + number * 11), STDERR)
    job.finish()
    seen = expected[stream][2:]
    line = f"{len(seen)} {hashlib.sha256(seen).hexdigest()} True\n".encode()
    assert child.stdout.readline() == line


def test_successor_of_a_killed_writer_wakes_the_readers(job: Job, run: Run) -> None:
    job.put(b"known")
    job.log.detach()
    with (job.directory / "output").open("ab") as output:
        output.write(b", and what the header didn't tell")

    async def scenario() -> None:
        with watching() as watcher, subscribed(watcher, job.directory) as subscription:
            sink = FakeSink()
            reading = asyncio.ensure_future(subscription.copy_to(sink))
            await sink.has(b"known")

            def bury() -> None:
                LogWriter.reopen(job.directory).close(complete=False)

            asyncio.get_running_loop().call_soon(bury)
            await reading
            assert sink.all == b"known, and what the header didn't tell"
            assert subscription.state.closed
            assert not subscription.state.complete

    run(scenario())


def test_closing_the_follower_ends_all_waiting_with_an_error(job: Job, run: Run) -> None:
    async def scenario() -> None:
        with watching() as watcher:
            with (
                subscribed(watcher, job.directory) as first,
                subscribed(watcher, job.directory) as second,
            ):
                tasks = [asyncio.ensure_future(collected(f)) for f in (first, second)]
                await until_waiting(watcher, job.directory, 2)
                watcher.close()
                watcher.close()
                for task in tasks:
                    with pytest.raises(WatcherClosed):
                        await task
            with pytest.raises(WatcherClosed):
                watcher.watch(job.directory)

    run(scenario())


def test_damaged_header_ends_following_with_an_error(job: Job, run: Run) -> None:
    async def scenario() -> None:
        with watching() as watcher, subscribed(watcher, job.directory) as subscription:
            task = asyncio.ensure_future(collected(subscription))
            await until_waiting(watcher, job.directory, 1)
            with (job.directory / "runs").open("r+b") as runs:
                runs.write(b"garbage")
            with pytest.raises(CorruptLog):
                await task

    run(scenario())


def test_bytes_that_are_not_in_memory_are_read_in_a_thread(job: Job, run: Run) -> None:
    data = os.urandom(1 << 20)
    job.put(data)
    job.finish()
    fd = os.open(job.directory / "output", os.O_RDWR)
    os.fsync(fd)

    async def scenario() -> None:
        with watching() as watcher:
            for stream in (None, STDOUT):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                with subscribed(watcher, job.directory, 0, stream) as subscription:
                    assert await collected(subscription) == data

    try:
        run(scenario())
    finally:
        os.close(fd)


def test_files_stay_open_for_a_thread_whose_caller_was_cancelled(job: Job, run: Run) -> None:
    job.put(b"x")
    entered, released = threading.Event(), threading.Event()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with watching() as watcher:
            log = watcher.watch(job.directory)
            read: list[bytes] = []
            thread_ended = loop.create_future()

            def slow_read() -> None:
                entered.set()
                released.wait()
                read.append(log.reader.read(0))
                loop.call_soon_threadsafe(thread_ended.set_result, None)

            task = asyncio.ensure_future(log.in_thread(slow_read))
            await asyncio.to_thread(entered.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            files = open_files_in(job.directory)
            log.release()
            assert open_files_in(job.directory) == files
            released.set()
            await thread_ended
            assert read == [b"x"]
            while open_files_in(job.directory) == files:
                await turn()

    run(scenario())


def test_without_inotify_logs_are_looked_at_until_it_is_there(run: Run, job: Job) -> None:
    async def scenario() -> None:
        told: list[str] = []
        watcher = LogWatcher(told.append)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            watcher.open()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with ExitStack() as stack:
            stack.callback(watcher.close)
            assert watcher.refusal is not None
            assert "max_user_instances" in watcher.refusal
            assert told == [watcher.refusal]
            subscription = stack.enter_context(subscribed(watcher, job.directory))
            reading = asyncio.ensure_future(collected(subscription))
            job.put(b"watched")
            await turn()
            assert watcher.refusal is None  # the first who waits tries again
            job.finish()
            assert await reading == b"watched"

    run(scenario())


class FileTakingSink(FakeSink):
    """A sink that takes bytes from a file as well, up to some at a time.

    Attributes:
        taken: which, as pairs of offsets.
    """

    def __init__(self, at_a_time: int) -> None:
        super().__init__()
        self.taken: list[tuple[int, int]] = []
        self._at_a_time = at_a_time

    async def send_file(self, source: FileSource, begin: int, end: int) -> int:
        assert isinstance(source, LogReader)
        reached = begin
        while reached < min(end, begin + self._at_a_time):
            data = source.read(reached, min(end, begin + self._at_a_time) - reached)
            await self.write(data)
            reached += len(data)
        self.taken.append((begin, reached))
        return reached


@pytest.mark.parametrize("at_a_time", [0, 1000, 300_000, 1 << 30])
@pytest.mark.parametrize("offset", [0, 5])
def test_a_sink_that_takes_files_is_given_what_is_long(
    job: Job, run: Run, at_a_time: int, offset: int
) -> None:
    data = os.urandom(700_000)
    job.put(data)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with watching() as watcher, subscribed(watcher, job.directory, offset) as subscription:
            sink = FileTakingSink(at_a_time)
            reading = asyncio.ensure_future(subscription.copy_to(sink, digests=True))
            await sink.has(data[offset:])
            for word in (b"live ", b"more "):
                loop.call_soon(job.put, word)
                await sink.has(data[offset:] + b"live ")
            loop.call_soon(job.finish)
            await reading
            assert sink.all == data[offset:] + b"live more "
            assert sink.taken[0] == (offset, min(700_000, offset + at_a_time))
            assert subscription.offset == job.log.end
            whole = hashlib.sha256(data + b"live more ").hexdigest()
            assert await subscription.digest() == whole

    run(scenario())


@pytest.mark.parametrize("stream", [STDOUT, STDERR])
def test_one_stream_is_not_taken_from_the_file(job: Job, run: Run, stream: int) -> None:
    data = os.urandom(700_000)
    job.put(data, stream)
    job.put(b"other", STDOUT + STDERR - stream)
    job.finish()

    async def scenario() -> None:
        with watching() as watcher, subscribed(watcher, job.directory, 0, stream) as subscription:
            sink = FileTakingSink(1 << 30)
            await subscription.copy_to(sink)
            assert sink.all == data
            assert not sink.taken

    run(scenario())


def test_what_may_be_dropped_is_not_taken_from_the_file(
    job_dir: Path, make_pipe: Callable[[], Pipe], run: Run
) -> None:
    data = os.urandom(700_000)
    limited = Job(job_dir, make_pipe(), limit=1 << 20)
    limited.put(data)

    async def scenario() -> None:
        with watching() as watcher, subscribed(watcher, job_dir, follow=False) as subscription:
            sink = FileTakingSink(1 << 30)
            await subscription.copy_to(sink)
            assert sink.all == data
            assert not sink.taken
            limited.finish()
            with subscribed(watcher, job_dir) as later:
                await later.copy_to(sink)
            assert sink.all == data + data
            assert sink.taken == [(0, len(data))]

    run(scenario())
    limited.log.detach()


@pytest.mark.parametrize("last", [b"\n", b"x"])
def test_a_line_about_a_gap_begins_a_line_behind_bytes_from_the_file(
    job: Job, run: Run, last: bytes
) -> None:
    data = os.urandom(699_999) + last
    job.put(data)
    job.finish()

    async def scenario() -> None:
        encoder = MarkedPlainText()
        with (
            watching() as watcher,
            subscribed(watcher, job.directory, encoder=encoder) as subscription,
        ):
            sink = FileTakingSink(1 << 30)
            await subscription.copy_to(sink)
            assert sink.taken == [(0, len(data))]
            assert encoder.gap(1, 2).startswith(b"\n") == (last != b"\n")

    run(scenario())
