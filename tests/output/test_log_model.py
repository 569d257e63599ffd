"""The log against plain bytes: whatever is written, in whatever order, is what is read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_readers import next_bytes

from service.output.cursor import Cursor
from service.output.index import STDERR, STDOUT, LogState
from service.output.reader import LogReader
from service.output.run_records import RECORD_EVERY_NS
from service.output.writer import LogWriter

STREAMS = (None, STDOUT, STDERR)

writes = st.tuples(
    st.just("write"),
    st.sampled_from([STDOUT, STDERR]),
    st.integers(0, 2),
    st.one_of(st.binary(min_size=1, max_size=5), st.binary(min_size=1, max_size=60)),
)
steps = st.lists(
    st.one_of(
        writes,
        st.tuples(st.just("nothing"), st.sampled_from([STDOUT, STDERR]), st.integers(0, 2)),
        st.tuples(st.just("time"), st.integers(0, 2 * RECORD_EVERY_NS)),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


class Model:
    """What the log must be equal to."""

    def __init__(self) -> None:
        self.owners: list[tuple[int, int]] = []
        self.whole = b""

    def append(self, stream: int, command: int, data: bytes) -> None:
        self.whole += data
        self.owners += [(stream, command)] * len(data)

    def bytes_of(self, stream: int | None) -> bytes:
        if stream is None:
            return self.whole
        owned = zip(self.whole, self.owners, strict=True)
        return bytes(byte for byte, (owner, _) in owned if owner == stream)


def owners_by_index(reader: LogReader, end: int) -> list[tuple[int, int]]:
    found = reader.records(0, 10_000)
    ends = [record.offset for record in found[1:]] + [end] * bool(found)
    return [
        (record.stream, record.command)
        for record, run_end in zip(found, ends, strict=True)
        for _ in range(run_end - record.offset)
    ]


def play(directory: Path, script: list[tuple]) -> tuple[LogWriter, Model]:
    model = Model()
    now = 0

    def clock_ns() -> int:
        return now

    log = LogWriter.create(directory, clock_ns=clock_ns)
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        for step in script:
            match step:
                case ("write", stream, command, data):
                    os.write(writer, data)
                    assert log.splice_from(reader, stream, command) == len(data)
                    model.append(stream, command, data)
                case ("nothing", stream, command):
                    with pytest.raises(BlockingIOError):
                        log.splice_from(reader, stream, command)
                case ("time", passed):
                    now += passed
                case ("reopen",):
                    log.detach()
                    log = LogWriter.reopen(directory, clock_ns=clock_ns)
                    assert log.repairs == []
    finally:
        os.close(reader)
        os.close(writer)
    return log, model


def read_all(cursor: Cursor, limit: int) -> bytes:
    chunks = []
    while chunk := next_bytes(cursor, limit=limit, wait=False):
        assert len(chunk) <= limit
        chunks.append(chunk)
    return b"".join(chunks)


@settings(deadline=None, max_examples=150)
@given(steps, st.sampled_from([1, 3, 1000]))
def test_every_offset_of_every_stream_reads_as_the_model(script: list[tuple], limit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        log, model = play(directory, script)
        with LogReader.open(directory) as reader:
            state = LogState(len(model.whole), len(model.bytes_of(STDOUT)))
            assert reader.state() == state == log.state
            assert owners_by_index(reader, log.end) == model.owners
            log.close(complete=True)
            for stream in STREAMS:
                expected = model.bytes_of(stream)
                for offset in range(len(expected) + 1):
                    cursor = Cursor(reader, offset, stream)
                    assert read_all(cursor, limit) == expected[offset:]
                    assert cursor.offset == len(expected)


@settings(deadline=None, max_examples=100)
@given(steps)
def test_readers_that_keep_up_see_each_byte_once(script: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        seen: dict[int | None, bytes] = dict.fromkeys(STREAMS, b"")
        log = LogWriter.create(directory, clock_ns=lambda: 0)
        model = Model()
        pipe_reader, pipe_writer = os.pipe2(os.O_NONBLOCK)
        with LogReader.open(directory) as reader:
            cursors = {stream: Cursor(reader, 0, stream) for stream in STREAMS}
            for step in script:
                if step[0] == "write":
                    _, stream, command, data = step
                    os.write(pipe_writer, data)
                    log.splice_from(pipe_reader, stream, command)
                    model.append(stream, command, data)
                for stream, cursor in cursors.items():
                    seen[stream] += next_bytes(cursor)
        os.close(pipe_reader)
        os.close(pipe_writer)
        log.detach()
        assert seen == {stream: model.bytes_of(stream) for stream in STREAMS}
