"""Heartbeats: for readers who have all there is, in formats that have them, from one timer."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from log_readers import FakeSink, subscribed, turn, until_waiting

from service.output.formats.plain_text import PlainText
from service.output.formats.registry import FORMATS
from service.output.index import STDOUT
from service.output.keep_alive import KeepAlive
from service.output.watcher import LogWatcher
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.output.formats.encoder import Encoder
    from tests.output.conftest import Pipe

# Seconds: short, so that a test waits for real ones.
SOON_S = 0.01
BY_NAME = {found.name: found for found in FORMATS}


@contextmanager
def beating() -> Iterator[LogWatcher]:
    watcher = LogWatcher(heartbeat_s=SOON_S)
    watcher.open()
    try:
        yield watcher
    finally:
        watcher.close()


@pytest.fixture
def log(job_dir: Path, make_pipe: Callable[[], Pipe]) -> Iterator[LogWriter]:
    log = LogWriter.create(job_dir)
    pipe = make_pipe()
    pipe.write(b"begin\nend")
    log.splice_from(pipe.reader, STDOUT, 0)
    yield log
    log.detach()


def test_silent_readers_are_told_that_they_are_alive(job_dir: Path, log: LogWriter) -> None:
    async def scenario() -> None:
        encoders: list[Encoder] = [
            BY_NAME["sse"].encoder(),
            BY_NAME["ndjson"].encoder(lines=True),
            BY_NAME["ndjson"].encoder(lines=True),
            PlainText(),
        ]
        with beating() as watcher, ExitStack() as stack:
            sinks = [FakeSink() for _ in encoders]
            tasks = []
            for encoder, sink in zip(encoders, sinks, strict=True):
                opened = subscribed(watcher, job_dir, encoder=encoder)
                tasks.append(asyncio.ensure_future(stack.enter_context(opened).copy_to(sink)))
            await until_waiting(watcher, job_dir, 4)
            sse, one, other, plain = sinks
            begun = [len(sink.all) for sink in sinks]
            await one.has_bytes(begun[1] + 150)
            beats = [json.loads(line) for line in bytes(one.all[begun[1] :]).splitlines()]
            assert {(beat["Type"], beat["Offset"]) for beat in beats} == {("heartbeat", 6)}
            assert one.handed[0] is other.handed[0]
            assert set(bytes(sse.all[begun[0] :]).splitlines()) == {b":"}
            assert plain.all == b"begin\nend"
            log.close(complete=True)
            await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_who_takes_nothing_gets_no_heartbeat_and_loses_nothing(
    job_dir: Path, log: LogWriter
) -> None:
    async def scenario() -> None:
        with (
            beating() as watcher,
            subscribed(watcher, job_dir, encoder=BY_NAME["sse"].encoder()) as slow,
            subscribed(watcher, job_dir, encoder=BY_NAME["sse"].encoder()) as quick,
        ):
            stuck, sink = FakeSink(), FakeSink()
            tasks = [asyncio.ensure_future(slow.copy_to(stuck))]
            tasks.append(asyncio.ensure_future(quick.copy_to(sink)))
            await until_waiting(watcher, job_dir, 2)
            begun = len(sink.all)
            had = bytes(stuck.all)
            stuck.hold_up()
            await sink.has_bytes(begun + 3)
            assert stuck.all == had
            log.close(complete=True)
            await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_the_timer_runs_while_somebody_wants_it() -> None:
    async def scenario() -> None:
        keep_alive = KeepAlive(SOON_S)
        beats: list[int] = []
        came = asyncio.Event()

        def beat(time_ns: int) -> None:
            beats.append(time_ns)
            came.set()

        assert keep_alive._timer is None
        with keep_alive.during(beat):
            await came.wait()
        assert beats[0] > 1_500_000_000_000_000_000
        came.clear()
        keep_alive.add(last := lambda _: came.set())
        await came.wait()
        keep_alive.discard(last)
        while keep_alive._timer is not None:  # until it has found that nobody is there
            await turn()
        assert beats == beats[:1]
        keep_alive.add(beat)
        keep_alive.close()
        keep_alive.close()
        assert keep_alive._timer is None

    asyncio.run(asyncio.wait_for(scenario(), 60))
