"""A log that has a limit: what is kept is what was written, what isn't is told, at any moment."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_readers import FakeSink, collected, next_bytes, subscribed, wait_past, watched, watching

from service.errors import NoHoles, OffsetInGap, OutputDropped
from service.output import retention_window
from service.output.cursor import Cursor
from service.output.formats.plain_text import MarkedPlainText
from service.output.index import NO_GAP, STDERR, STDOUT, LogState, record_position
from service.output.reader import LogReader
from service.output.retention_window import step_bytes
from service.output.run_records import RECORD_EVERY_NS
from service.output.writer import LogWriter

STREAMS = (None, STDOUT, STDERR)
LIMIT = 64 * 1024
# What the file system adds at the edges of a hole and for the header.
EDGES = 5 * 4096


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


class Written:
    """A log in the making beside plain bytes of what went into it."""

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = directory
        self.now = 0
        self.whole = bytearray()
        self.of: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray()}
        self.log = LogWriter.create(directory, limit=limit, clock_ns=self.clock_ns)
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def clock_ns(self) -> int:
        return self.now

    def write(self, stream: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.writer, view[:60_000]) :]
            try:
                while self.log.splice_from(self.reader, stream, 0):
                    pass
            except BlockingIOError:
                pass
        self.whole += data
        self.of[stream] += data

    def bytes_of(self, stream: int | None) -> bytearray:
        return self.whole if stream is None else self.of[stream]

    def reopen(self) -> None:
        self.log.detach()
        self.log = LogWriter.reopen(self.directory, clock_ns=self.clock_ns)

    def close(self) -> None:
        self.log.detach()
        os.close(self.reader)
        os.close(self.writer)


@contextmanager
def writing(directory: Path, limit: int = LIMIT) -> Iterator[Written]:
    written = Written(directory, limit)
    try:
        yield written
    finally:
        written.close()


def check_from(reader: LogReader, written: Written, stream: int | None, offset: int) -> None:
    """Everything from `offset` on is as it was written, or told to be missing."""
    state = reader.state()
    gap = state.gap.of(stream)
    expected = written.bytes_of(stream)
    assert state.size(stream) == len(expected)
    cursor = Cursor(reader, offset, stream)
    while cursor.offset < len(expected):
        before = cursor.offset
        if gap[0] <= before < gap[1]:
            with pytest.raises(OutputDropped) as caught:
                next_bytes(cursor)
            assert (caught.value.offset, caught.value.until) == (before, gap[1])
            cursor.offset = gap[1]
            continue
        chunk = next_bytes(cursor)
        assert chunk
        assert chunk == expected[before : cursor.offset]
        assert not (before < gap[0] < cursor.offset)
    assert next_bytes(cursor) == b""


def interesting(state: LogState, stream: int | None) -> set[int]:
    """Offsets around whatever happens in a log, and some of no meaning."""
    size = state.size(stream)
    edges = (0, *state.gap.of(stream), size)
    places = {edge + step for edge in edges for step in (-4097, -1, 0, 1, 4096)}
    places |= set(range(0, size, max(1, size // 40)))
    return {place for place in places if 0 <= place <= size}


writes = st.tuples(
    st.just("write"),
    st.sampled_from([STDOUT, STDERR]),
    st.one_of(st.integers(1, 40), st.integers(1, 30_000)),
)
steps = st.lists(
    st.one_of(
        writes,
        st.tuples(st.just("chat"), st.integers(1, 400), st.integers(1, 5)),
        st.tuples(st.just("time")),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(steps, st.sampled_from([1_000, 8_192, 20_000, 64 * 1024]), st.sampled_from([300, 4096]))
def test_bytes_outside_the_gap_are_as_written_whatever_came(script, limit, step):
    rng = random.Random(1)
    with (
        mock.patch.object(retention_window, "_MIN_STEP_BYTES", step),
        tempfile.TemporaryDirectory() as name,
        writing(Path(name), limit) as written,
    ):
        before = NO_GAP
        for action in script:
            match action:
                case ("write", stream, count):
                    written.write(stream, rng.randbytes(count))
                case ("chat", times, count):
                    for number in range(times):
                        written.write(STDERR if number % 2 else STDOUT, rng.randbytes(count))
                case ("time",):
                    written.now += RECORD_EVERY_NS
                case ("reopen",):
                    written.reopen()
                    assert written.log.repairs == []
            gap = written.log.state.gap
            assert gap.end >= before.end
            if before.end:
                assert (gap.start, gap.stdout_start) == (before.start, before.stdout_start)
                assert gap.record_start == before.record_start
            before = gap
        with LogReader.open(name) as reader:
            state = reader.state()
            assert state == written.log.state
            kept = state.end - (state.gap.end - state.gap.start)
            assert kept <= limit + 2 * step_bytes(limit)
            assert state.gap.end == 0 or state.end > limit or state.gap.record_end > 0
            for stream in STREAMS:
                for offset in interesting(state, stream):
                    check_from(reader, written, stream, offset)
        assert on_disk(Path(name, "output")) <= limit + 2 * step_bytes(limit) + EDGES
        assert on_disk(Path(name, "runs")) <= limit + 2 * step_bytes(limit) + EDGES


def test_output_within_the_limit_is_kept_whole(job_dir):
    with writing(job_dir) as written:
        written.write(STDOUT, random.Random(2).randbytes(LIMIT))
        assert written.log.state.gap == NO_GAP
        with LogReader.open(job_dir) as reader:
            check_from(reader, written, None, 0)


def test_half_of_the_limit_is_kept_at_either_end(job_dir):
    with writing(job_dir, 1 << 20) as written:
        written.write(STDOUT, bytes(10 << 20))
        gap = written.log.state.gap
        assert gap.start == 1 << 19
        assert 1 << 19 <= written.log.end - gap.end <= (1 << 19) + 2 * step_bytes(1 << 20)


def test_disk_use_is_bounded_at_every_moment(job_dir):
    rng = random.Random(3)
    most = 0
    with writing(job_dir) as written:
        for _ in range(200):
            written.write(rng.choice([STDOUT, STDERR]), rng.randbytes(rng.randrange(60_000)))
            most = max(most, on_disk(job_dir / "output"))
        assert written.log.end > 30 * LIMIT
    assert most <= LIMIT + 2 * step_bytes(LIMIT) + EDGES


def test_index_is_bounded_though_streams_alternate_byte_by_byte(job_dir):
    most = 0
    with writing(job_dir) as written:
        for number in range(20_000):
            written.write(STDERR if number % 2 else STDOUT, b"%d" % (number % 10))
            most = max(most, on_disk(job_dir / "runs"))
        assert (job_dir / "runs").stat().st_size == record_position(20_000)
        assert written.log.end < LIMIT
        assert most <= LIMIT + 2 * step_bytes(LIMIT) + EDGES
        with LogReader.open(job_dir) as reader:
            gap = reader.state().gap
            assert gap.record_start < gap.record_end
            for stream in STREAMS:
                for offset in interesting(reader.state(), stream):
                    check_from(reader, written, stream, offset)


def test_a_bounded_log_never_fills_a_small_disk(small_disk):
    with writing(small_disk, 256 * 1024) as written:
        for number in range(400):
            written.write(STDERR if number % 7 else STDOUT, bytes([number % 255 + 1]) * 50_000)
        with LogReader.open(small_disk) as reader:
            for stream in STREAMS:
                check_from(reader, written, stream, 0)


@pytest.fixture
def no_holes(tmp_path):
    """A file system that can't free the middle of a file."""
    path = tmp_path / "ramfs"
    path.mkdir()
    mount = ["mount", "-t", "ramfs", "ramfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a ramfs is not allowed here")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_limit_that_could_not_be_kept_is_refused_and_leaves_nothing(no_holes):
    with pytest.raises(NoHoles, match="can't free the middle"):
        LogWriter.create(no_holes, limit=LIMIT)
    assert list(no_holes.iterdir()) == []
    LogWriter.create(no_holes).detach()


# ------------------------------------------------------------------------- writers that are killed


def test_writer_killed_before_any_of_its_system_calls_leaves_no_zeros(job_dir, start_child):
    child = start_child("dropping_child.py", job_dir)
    printed, _ = child.communicate()
    assert child.returncode == 0
    assert int(printed) > 50


def read_through(reader: LogReader, stream: int, data: bytes, ended: threading.Event) -> int:
    """Read beside the writer, again and again from the start of what is kept; the bytes missed."""
    missed = 0
    cursor = Cursor(reader, 0, stream)
    while True:
        was_over = ended.is_set()
        before = cursor.offset
        try:
            chunk = next_bytes(cursor)
        except OutputDropped as dropped:
            missed += dropped.until - before
            cursor.offset = dropped.until
            continue
        assert chunk == data[before : cursor.offset]
        if not chunk and was_over:
            assert cursor.offset == len(data)
            return missed


def test_readers_beside_killed_writers_never_take_dropped_bytes_for_output(
    job_dir: Path, make_pipe: Callable, start_child: Callable, run_stock: Callable
) -> None:
    rng = random.Random(11)
    size = 12_000_000
    pipes = {stream: make_pipe() for stream in (STDOUT, STDERR)}
    data = {stream: rng.randbytes(size) for stream in pipes}
    fds = tuple(pipe.reader for pipe in pipes.values())
    LogWriter.create(job_dir, limit=LIMIT).detach()

    def feed(stream: int) -> None:
        with memoryview(data[stream]) as view:
            for start in range(0, size, 50_000):
                pipes[stream].write(view[start : start + 50_000])
        pipes[stream].end()

    ended = threading.Event()
    missed: dict[int, int] = {}

    async def kill_at_random_places() -> None:
        with watching() as watcher:
            with watched(watcher, job_dir) as log:
                for mark in sorted(rng.randrange(2 * size) for _ in range(10)):
                    child = start_child("pumping_child.py", job_dir, *fds, pass_fds=fds)
                    await wait_past(log, mark)
                    child.kill()
                    await asyncio.to_thread(child.wait)
                start_child("pumping_child.py", job_dir, *fds, pass_fds=fds)
                assert (await wait_past(log, 2 * size)).complete

    with LogReader.open(job_dir) as reader:

        def read(stream: int) -> None:
            missed[stream] = read_through(reader, stream, data[stream], ended)

        threads = [threading.Thread(target=f, args=(s,)) for s in pipes for f in (feed, read)]
        for thread in threads:
            thread.start()
        try:
            run_stock(kill_at_random_places())
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        assert set(missed) == set(pipes)
        state = reader.state()
    assert state.gap.end - state.gap.start > size
    assert on_disk(job_dir / "output") <= LIMIT + 2 * step_bytes(LIMIT) + EDGES


def test_a_file_cut_short_inside_its_gap_keeps_its_offsets(job_dir):
    with writing(job_dir) as written:
        written.write(STDERR, b"e" * 300_000)
        gap = written.log.state.gap
        written.log.detach()
        os.truncate(job_dir / "output", gap.start + 10_000)
        written.log = LogWriter.reopen(job_dir)
        assert written.log.repairs
        assert (written.log.end, written.log.state.gap) == (gap.end, gap)
        assert written.log.state.size(STDERR) == gap.end
        written.write(STDERR, b"more")
        with LogReader.open(job_dir) as reader:
            assert next_bytes(Cursor(reader, gap.end, STDERR)) == b"more"
            assert next_bytes(Cursor(reader, gap.start - 1)) == b"e"


# ------------------------------------------------------------------------------------- subscription


def test_a_subscriber_that_is_overtaken_learns_exactly_what_it_missed(job_dir, run):
    async def follow(written: Written) -> None:
        with (
            watching() as watcher,
            subscribed(watcher, job_dir) as live,
            subscribed(watcher, job_dir, encoder=MarkedPlainText()) as marked,
            subscribed(watcher, job_dir, follow=False) as replay,
        ):
            sink, marked_sink = FakeSink(), FakeSink()
            reading = asyncio.ensure_future(live.copy_to(sink))
            marking = asyncio.ensure_future(marked.copy_to(marked_sink))
            await sink.has(b"first")
            await marked_sink.has(b"first")
            written.write(STDOUT, b"x" * 500_000)
            gap = written.log.state.gap
            with pytest.raises(OutputDropped) as caught:
                await reading
            assert (caught.value.offset, caught.value.until) == (gap.start, gap.end)
            head = b"first".ljust(gap.start, b"x")
            assert sink.all == head
            assert sink.flushed == gap.start
            line = b"\n[jobrunner: %d bytes dropped]\n" % (gap.end - gap.start)
            await marked_sink.has(head + line + b"x" * (written.log.end - gap.end))
            marking.cancel()
            await asyncio.wait([marking])
            assert marked.offset == written.log.end
            # Where it is to end lies in the gap by now, or before it.
            assert await collected(replay) == b"first"

    with writing(job_dir) as written:
        written.write(STDOUT, b"first")
        run(follow(written))


def test_a_replay_whose_end_was_dropped_misses_no_more_than_it_wanted(job_dir, run):
    async def follow(written: Written) -> None:
        with (
            watching() as watcher,
            subscribed(watcher, job_dir, follow=False) as replay,
            subscribed(watcher, job_dir, follow=False, encoder=MarkedPlainText()) as marked,
        ):
            written.write(STDOUT, b"x" * 500_000)
            gap = written.log.state.gap
            sink = FakeSink()
            with pytest.raises(OutputDropped):
                await replay.copy_to(sink)
            assert replay.offset == gap.start
            assert sink.all == b"y" * gap.start
            line = b"\n[jobrunner: %d bytes dropped]\n" % (50_000 - gap.start)
            assert await collected(marked) == sink.all + line

    with writing(job_dir) as written:
        written.write(STDOUT, b"y" * 50_000)
        run(follow(written))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_subscription_begins_inside_a_gap_only_when_it_marks_it(job_dir, run_stock, stream):
    async def follow(written: Written) -> None:
        state = written.log.state
        start, end = state.gap.of(stream)
        size = state.size(stream)
        rest = written.bytes_of(stream)[end:]
        with watching() as watcher:
            for offset in (start, end - 1, start - size):
                with pytest.raises(OffsetInGap) as caught:
                    with subscribed(watcher, job_dir, offset, stream):
                        pass
                assert caught.value.gap == (start, end)
                missed = end - (offset if offset >= 0 else size + offset)
                line = b"[jobrunner: %d bytes dropped]\n" % missed
                marking = {"encoder": MarkedPlainText(), "follow": False}
                with subscribed(watcher, job_dir, offset, stream, **marking) as subscription:
                    assert await collected(subscription) == line + rest
            with subscribed(watcher, job_dir, end, stream, follow=False) as subscription:
                assert await collected(subscription) == rest

    with writing(job_dir) as written:
        for _ in range(10):
            written.write(STDOUT, b"x" * 40_000)
            written.write(STDERR, b"y" * 30_000)
        run_stock(follow(written))
