"""A log on a real file system without room: nothing is lost, nothing spins, it goes on later."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
from log_readers import rest_of

from service.output.cursor import Cursor
from service.output.descriptors import bytes_waiting
from service.output.index import STDERR, STDOUT
from service.output.pump import Pump, StallTimer
from service.output.reader import LogReader
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.output.conftest import Pipe

ROOM_BYTES = 1 << 20


def fill(path: Path) -> None:
    """Takes all the room that is left."""
    room = os.statvfs(path.parent)
    path.write_bytes(bytes(room.f_bavail * room.f_frsize))
    assert os.statvfs(path.parent).f_bavail == 0


def feed(pipe: Pipe, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe.writer, view) :]
    pipe.end()


def read_stream(directory: Path, stream: int) -> bytes:
    with LogReader.open(directory) as reader:
        return rest_of(Cursor(reader, 0, stream))


def test_pump_stalls_without_room_and_goes_on_byte_for_byte(
    small_disk: Path,
    make_pipe: Callable[[], Pipe],
    run_stock: Callable[[Awaitable[object]], None],
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(ROOM_BYTES * 3 // 4))
    pipes = {STDOUT: make_pipe(), STDERR: make_pipe()}
    data = {STDOUT: os.urandom(300_000), STDERR: os.urandom(100_000)}
    feeders = [threading.Thread(target=feed, args=(pipes[s], data[s])) for s in pipes]

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        stalled, resumed, ended = loop.create_future(), loop.create_future(), asyncio.Event()
        stalls = StallTimer(loop, interval_s=3600)
        log = LogWriter.create(small_disk)
        pump = Pump(
            loop,
            log,
            lambda *_: None if pump.pipes else ended.set(),
            on_stalled=stalled.set_result,
            on_resumed=lambda: resumed.set_result(None),
            stalls=stalls,
        )
        fds = {stream: pipe.take_reader() for stream, pipe in pipes.items()}
        for stream, fd in fds.items():
            pump.add(fd, stream, 0)
        for feeder in feeders:
            feeder.start()

        assert (await stalled).errno == errno.ENOSPC
        assert pump.stalled
        assert stalls._handle is not None
        # Nothing waits on the pipes: they are readable, and would call back without end.
        assert not any(loop.remove_reader(fd) for fd in fds.values())
        assert any(bytes_waiting(fd) for fd in fds.values())
        assert log.end < ROOM_BYTES // 4

        end = log.end
        stalls.retry()
        assert pump.stalled
        assert stalls._handle is not None
        assert not pump.drain_now()
        assert log.end == end

        ballast.unlink()
        stalls.retry()
        await resumed
        await ended.wait()
        assert not pump.stalled
        assert not stalls._handle is not None
        log.close(complete=True)

    run_stock(scenario())
    for feeder in feeders:
        feeder.join()
    assert {stream: read_stream(small_disk, stream) for stream in data} == data


def test_timer_alone_finds_the_room(
    small_disk: Path,
    make_pipe: Callable[[], Pipe],
    run_stock: Callable[[Awaitable[object]], None],
) -> None:
    log = LogWriter.create(small_disk)
    fill(small_disk / "ballast")
    pipe = make_pipe()
    pipe.write(b"x" * 10_000)
    pipe.end()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        stalls = StallTimer(loop, interval_s=0.001)

        def make_room(_error: OSError) -> None:
            loop.call_soon((small_disk / "ballast").unlink)

        pump = Pump(
            loop,
            log,
            lambda stream, command: ended.set_result((stream, command)),
            on_stalled=make_room,
            stalls=stalls,
        )
        pump.add(pipe.take_reader(), STDERR, 4)
        assert await ended == (STDERR, 4)
        assert not stalls._handle is not None

    run_stock(scenario())
    log.close(complete=True)
    assert (small_disk / "output").read_bytes() == b"x" * 10_000


def test_closing_a_stalled_pump_stops_the_timer(
    small_disk: Path,
    make_pipe: Callable[[], Pipe],
    run_stock: Callable[[Awaitable[object]], None],
) -> None:
    log = LogWriter.create(small_disk)
    fill(small_disk / "ballast")
    pipe = make_pipe()
    pipe.write(b"x" * 10_000)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        stalls = StallTimer(loop)
        pump = Pump(loop, log, lambda *_: None, stalls=stalls)
        pump.add(pipe.take_reader(), STDOUT, 0)
        assert not pump.drain_now()
        assert stalls._handle is not None
        pump.close()
        assert not stalls._handle is not None
        assert not pump.stalled

    run_stock(scenario())
    # The header needs no new room: a kill can always be recorded in it.
    log.close(complete=False)
    with LogReader.open(small_disk) as reader:
        assert reader.state().closed


def test_a_log_on_demand_without_room_is_made_once_there_is_some(
    small_disk: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    log = LogWriter.on_demand(small_disk)
    fill(small_disk / "ballast")
    pipe.write(b"kept")
    with pytest.raises(OSError, match="No space left"):
        log.splice_from(pipe.reader, STDOUT, 0)
    assert os.listdir(small_disk) == ["ballast"]
    assert bytes_waiting(pipe.reader) == len(b"kept")
    (small_disk / "ballast").unlink()
    assert log.splice_from(pipe.reader, STDOUT, 0) == len(b"kept")
    log.close(complete=True)
    assert read_stream(small_disk, STDOUT) == b"kept"


def test_index_without_room_moves_no_byte(small_disk: Path, make_pipe: Callable[[], Pipe]) -> None:
    pipe = make_pipe()
    log = LogWriter.create(small_disk)
    expected = {STDOUT: b"", STDERR: b""}

    def put(number: int) -> int:
        stream = (STDOUT, STDERR)[number % 2]
        data = b"%d," % number
        pipe.write(data)
        expected[stream] += data
        try:
            return log.splice_from(pipe.reader, stream, 0)
        except OSError as error:
            return -error.errno

    put(0)
    fill(small_disk / "ballast")
    # `output` has room in its last page for long after the page of `runs` is full.
    number = 0
    result = 1
    while result > 0:
        number += 1
        result = put(number)
    assert result == -errno.ENOSPC
    assert 100 < number < 130
    waiting = b"%d," % number
    assert bytes_waiting(pipe.reader) == len(waiting)
    assert log.end == sum(map(len, expected.values())) - len(waiting)
    size = os.path.getsize(small_disk / "runs")
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            log.splice_from(pipe.reader, (STDOUT, STDERR)[number % 2], 0)
    assert os.path.getsize(small_disk / "runs") == size

    (small_disk / "ballast").unlink()
    assert log.splice_from(pipe.reader, (STDOUT, STDERR)[number % 2], 0) == len(waiting)
    put(number + 1)
    log.close(complete=True)
    assert {stream: read_stream(small_disk, stream) for stream in expected} == expected


def test_retries_without_room_do_not_grow_the_index(
    small_disk: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipes = {STDOUT: make_pipe(), STDERR: make_pipe()}
    log = LogWriter.create(small_disk)
    fill(small_disk / "ballast")
    for pipe in pipes.values():
        pipe.write(b"x")
    for _ in range(500):
        for stream, pipe in pipes.items():
            with pytest.raises(OSError, match="No space left"):
                log.splice_from(pipe.reader, stream, 0)
    assert os.path.getsize(small_disk / "runs") < 4096
    log.detach()


def test_log_that_can_not_be_made_leaves_nothing_behind(small_disk: Path) -> None:
    directory = small_disk / "job"
    directory.mkdir()
    fill(small_disk / "ballast")
    with pytest.raises(OSError, match="No space left"):
        LogWriter.create(directory)
    assert list(directory.iterdir()) == []
