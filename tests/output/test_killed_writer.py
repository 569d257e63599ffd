"""A writer that is killed at any moment, and a successor that goes on: every byte, once."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from typing import TYPE_CHECKING

import pytest
from log_readers import rest_of, wait_past, watched, watching

from service.output.cursor import Cursor
from service.output.index import STDERR, STDOUT
from service.output.reader import LogReader
from service.output.writer import LogWriter

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.output.conftest import Pipe

KILLS = 12
STREAM_BYTES = 12_000_000


@pytest.mark.slow
def test_writer_killed_before_any_of_its_system_calls_loses_nothing(
    job_dir: Path, start_child: Callable[..., subprocess.Popen[bytes]]
) -> None:
    child = start_child("crashing_child.py", job_dir)
    printed, _ = child.communicate()
    assert child.returncode == 0
    assert int(printed) > 500


def feed(pipe: Pipe, data: bytes, rng: random.Random) -> None:
    view = memoryview(data)
    while view:
        written = os.write(pipe.writer, view[: rng.randrange(1, 100_000)])
        view = view[written:]
    pipe.end()


def test_pump_killed_at_random_moments_loses_and_doubles_nothing(
    job_dir: Path,
    make_pipe: Callable[[], Pipe],
    start_child: Callable[..., subprocess.Popen[bytes]],
    run_stock: Callable[[Awaitable[object]], None],
) -> None:
    rng = random.Random(7)
    pipes = {stream: make_pipe() for stream in (STDOUT, STDERR)}
    data = {stream: rng.randbytes(STREAM_BYTES) for stream in pipes}
    feeders = [
        threading.Thread(target=feed, args=(pipe, data[stream], random.Random(stream)))
        for stream, pipe in pipes.items()
    ]
    for feeder in feeders:
        feeder.start()
    fds = tuple(pipe.reader for pipe in pipes.values())
    LogWriter.create(job_dir).detach()
    marks = sorted(rng.randrange(2 * STREAM_BYTES) for _ in range(KILLS))

    async def kill_at_the_marks() -> None:
        with watching() as watcher:
            with watched(watcher, job_dir) as log:
                for mark in marks:
                    child = start_child("pumping_child.py", job_dir, *fds, pass_fds=fds)
                    await wait_past(log, mark)
                    child.kill()
                    await asyncio.to_thread(child.wait)
                start_child("pumping_child.py", job_dir, *fds, pass_fds=fds)
                assert (await wait_past(log, 2 * STREAM_BYTES)).complete

    run_stock(kill_at_the_marks())
    for feeder in feeders:
        feeder.join()
    with LogReader.open(job_dir) as reader:
        for stream, expected in data.items():
            cursor = Cursor(reader, 0, stream)
            found = rest_of(cursor)
            assert found == expected
