from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from log_readers import rest_of, turn

from service.output.cursor import Cursor
from service.output.index import STDERR, STDOUT
from service.output.pump import Pump
from service.output.reader import LogReader
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.output.conftest import Pipe


class Ended:
    """Collects what a pump reports, and tells when it has reported a number of pipes."""

    def __init__(self, count: int) -> None:
        self.pipes: list[tuple[int, int]] = []
        self._count = count
        self._all = asyncio.Event()

    def __call__(self, stream: int, command: int) -> None:
        self.pipes.append((stream, command))
        if len(self.pipes) == self._count:
            self._all.set()

    async def wait(self) -> None:
        await self._all.wait()


def spawn(script: str) -> tuple[subprocess.Popen[bytes], int, int]:
    out, out_writer = os.pipe2(os.O_CLOEXEC)
    err, err_writer = os.pipe2(os.O_CLOEXEC)
    child = subprocess.Popen(["bash", "-c", script], stdout=out_writer, stderr=err_writer)
    os.close(out_writer)
    os.close(err_writer)
    return child, out, err


def test_both_streams_of_real_commands_are_kept_apart_and_in_order(
    job_dir: Path, run_stock: Callable[[Awaitable[object]], None]
) -> None:
    script = "for i in {1..2000}; do echo out $i; echo err $i >&2; done"

    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        for command in range(2):
            ended = Ended(2)
            pump = Pump(asyncio.get_running_loop(), log, ended)
            child, out, err = spawn(script)
            with child:
                pump.add(out, STDOUT, command)
                pump.add(err, STDERR, command)
                assert pump.pipes == [(out, STDOUT, command), (err, STDERR, command)]
                await ended.wait()
            assert sorted(ended.pipes) == [(STDOUT, command), (STDERR, command)]
            assert pump.pipes == []
        log.close(complete=True)

    run_stock(scenario())
    with LogReader.open(job_dir) as reader:
        for stream, word in ((STDOUT, b"out"), (STDERR, b"err")):
            expected = b"".join(b"%s %d\n" % (word, i) for i in range(1, 2001)) * 2
            assert rest_of(Cursor(reader, 0, stream)) == expected


def test_binary_output_of_a_megabyte_comes_out_unchanged(
    job_dir: Path, run_stock: Callable[[Awaitable[object]], None], tmp_path: Path
) -> None:
    data = os.urandom(1 << 20) + bytes(4096)
    (tmp_path / "data").write_bytes(data)

    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        ended = Ended(2)
        pump = Pump(asyncio.get_running_loop(), log, ended)
        child, out, err = spawn(f"cat {tmp_path / 'data'}")
        with child:
            pump.add(out, STDOUT, 0)
            pump.add(err, STDERR, 0)
            await ended.wait()
        log.close(complete=True)

    run_stock(scenario())
    assert (job_dir / "output").read_bytes() == data


def test_drain_now_moves_what_is_there_and_tells_whether_all_ended(
    job_dir: Path,
    make_pipe: Callable[[], Pipe],
    run_stock: Callable[[Awaitable[object]], None],
) -> None:
    first, second = make_pipe(), make_pipe()

    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        ended = Ended(2)
        pump = Pump(asyncio.get_running_loop(), log, ended)
        assert pump.drain_now()
        pump.add(first.take_reader(), STDOUT, 0)
        pump.add(second.take_reader(), STDERR, 0)
        assert not pump.drain_now()
        first.write(b"a" * 60_000)
        second.write(b"b" * 60_000)
        first.end()
        assert not pump.drain_now()
        assert (log.end, ended.pipes) == (120_000, [(STDOUT, 0)])
        second.write(b"c")
        second.end()
        assert pump.drain_now()
        assert (log.end, ended.pipes) == (120_001, [(STDOUT, 0), (STDERR, 0)])
        log.close(complete=True)

    run_stock(scenario())


def test_drain_now_ends_though_a_writer_never_pauses(
    job_dir: Path, run_stock: Callable[[Awaitable[object]], None]
) -> None:
    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        pump = Pump(asyncio.get_running_loop(), log, lambda *_: None)
        child, out, err = spawn("yes")
        with child:
            pump.add(out, STDOUT, 0)
            pump.add(err, STDERR, 0)
            for _ in range(100):
                assert not pump.drain_now()
            child.kill()
        pump.close()
        log.close(complete=False)

    run_stock(scenario())


def test_close_closes_the_pipes_and_may_be_repeated(
    job_dir: Path,
    make_pipe: Callable[[], Pipe],
    run_stock: Callable[[Awaitable[object]], None],
) -> None:
    pipe = make_pipe()

    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        pump = Pump(asyncio.get_running_loop(), log, lambda *_: pytest.fail("told of an end"))
        pump.add(pipe.take_reader(), STDOUT, 0)
        pump.close()
        pump.close()
        with pytest.raises(BrokenPipeError):
            pipe.write(b"x")
        log.close(complete=False)

    run_stock(scenario())


@pytest.mark.parametrize("by_drain", [True, False])
def test_end_of_one_pipe_may_close_the_pump(
    job_dir: Path,
    make_pipe: Callable[[], Pipe],
    run_stock: Callable[[Awaitable[object]], None],
    *,
    by_drain: bool,
) -> None:
    ending, other = make_pipe(), make_pipe()
    ending.end()
    other.write(b"x")

    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        ended = asyncio.Event()

        def on_ended(_stream: int, _command: int) -> None:
            pump.close()
            ended.set()

        pump = Pump(asyncio.get_running_loop(), log, on_ended)
        pump.add(ending.take_reader(), STDOUT, 0)
        pump.add(other.take_reader(), STDERR, 0)
        if by_drain:
            assert pump.drain_now()
        await ended.wait()
        log.close(complete=False)

    run_stock(scenario())


def test_end_of_one_pipe_may_add_the_next_commands_pipe(
    job_dir: Path,
    make_pipe: Callable[[], Pipe],
    run_stock: Callable[[Awaitable[object]], None],
) -> None:
    first, second = make_pipe(), make_pipe()
    first.write(b"one")
    first.end()
    second.write(b"two")
    second.end()

    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        done = asyncio.Event()

        def on_ended(_stream: int, command: int) -> None:
            if command == 0:
                pump.add(second.take_reader(), STDOUT, 1)
            else:
                done.set()

        pump = Pump(asyncio.get_running_loop(), log, on_ended)
        pump.add(first.take_reader(), STDOUT, 0)
        await done.wait()
        log.close(complete=True)

    run_stock(scenario())
    assert (job_dir / "output").read_bytes() == b"onetwo"


def pipe_size(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


def test_the_pipes_of_few_floods_hold_more(
    tmp_path: Path, run_stock: Callable[[Awaitable[object]], None]
) -> None:
    """More would take from all other pipes of the same user."""

    async def flooded(directory: Path) -> tuple[Pump, LogWriter, subprocess.Popen[bytes], int, int]:
        log = LogWriter.create(directory)
        pump = Pump(asyncio.get_running_loop(), log, Ended(2))
        child, out, err = spawn("exec cat /dev/zero")
        pump.add(out, STDOUT, 0)
        pump.add(err, STDERR, 0)
        while log.end < 4 << 20:
            await turn()
        return pump, log, child, out, err

    async def scenario() -> None:
        running = [await flooded(tmp_path / str(n)) for n in range(18)]
        sizes = [pipe_size(out) for *_, out, _ in running]
        normal = pipe_size(running[0][4])
        assert all(pipe_size(err) == normal for *_, err in running)
        assert sizes == [1 << 20] * 16 + [normal] * 2
        for flood in running:
            end(*flood[:3])
        later = await flooded(tmp_path / "later")
        assert pipe_size(later[3]) == 1 << 20
        end(*later[:3])

    def end(pump: Pump, log: LogWriter, child: subprocess.Popen[bytes]) -> None:
        pump.close()
        log.detach()
        child.kill()
        child.wait()

    run_stock(scenario())


def test_a_command_that_pauses_keeps_its_pipe(
    job_dir: Path, make_pipe: Callable[[], Pipe], run_stock: Callable[[Awaitable[object]], None]
) -> None:
    pipe = make_pipe()

    async def scenario() -> None:
        log = LogWriter.create(job_dir)
        pump = Pump(asyncio.get_running_loop(), log, Ended(1))
        before = pipe_size(pipe.reader)
        reader = os.dup(pipe.reader)
        pump.add(reader, STDOUT, 0)
        for n in range(1, 200):
            pipe.write(bytes(40_000))
            while log.end < n * 40_000:
                await turn()
        assert pipe_size(reader) == before
        pump.close()
        log.detach()

    run_stock(scenario())
