from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from log_readers import chunks_of, next_bytes, rest_of

from service.errors import CorruptLog
from service.output.cursor import Cursor
from service.output.index import HEADER_BYTES, STDERR, STDOUT, LogState, Record
from service.output.reader import LogReader
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.output.conftest import Pipe


def write(directory: Path, pipe: Pipe, runs: list[tuple[int, bytes]]) -> None:
    log = LogWriter.create(directory)
    for stream, data in runs:
        view = memoryview(data)
        while view:
            step = view[:60_000]
            pipe.write(step)
            log.splice_from(pipe.reader, stream, 0)
            view = view[len(step) :]
    log.close(complete=True)


def evict(path: Path) -> None:
    """Asks the kernel to keep nothing of a file in memory."""
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def read_all(cursor: Cursor) -> bytes:
    return rest_of(cursor)


def test_log_that_is_not_there_is_not_found(job_dir: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogReader.open(job_dir)


def test_log_that_is_just_being_made_is_not_found(job_dir: Path) -> None:
    (job_dir / "output").touch()
    (job_dir / "runs").touch()
    with pytest.raises(FileNotFoundError):
        LogReader.open(job_dir)


def test_bytes_beyond_the_header_are_not_read(job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
    write(job_dir, make_pipe(), [(STDOUT, b"seen")])
    with (job_dir / "output").open("ab") as output:
        output.write(b"not yet")
    with LogReader.open(job_dir) as reader:
        assert reader.read(0) == b"seen"
        assert reader.read(4) == b""
        assert read_all(Cursor(reader, 0, STDOUT)) == b"seen"


def test_missing_bytes_are_an_error_and_not_the_end(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    write(job_dir, make_pipe(), [(STDOUT, b"all of it")])
    os.truncate(job_dir / "output", 3)
    with LogReader.open(job_dir) as reader:
        assert reader.read(0) == b"all"
        with pytest.raises(CorruptLog):
            reader.read(3)


def test_missing_records_are_an_error_and_not_the_end(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    write(job_dir, make_pipe(), [(STDOUT, b"all of it")])
    os.truncate(job_dir / "runs", HEADER_BYTES)
    with LogReader.open(job_dir) as reader, pytest.raises(CorruptLog):
        next_bytes(Cursor(reader, 0, STDOUT))


def test_record_that_is_not_valid_yet_is_left_alone(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    write(job_dir, make_pipe(), [(STDOUT, b"out"), (STDERR, b"err")])
    with (job_dir / "runs").open("ab") as runs:
        runs.write(Record(offset=6, stream_offset=0, time_ns=0, command=0, stream=STDERR).pack())
    with LogReader.open(job_dir) as reader:
        for stream, expected in ((STDOUT, b"out"), (STDERR, b"err")):
            assert read_all(Cursor(reader, 0, stream)) == expected


def test_damaged_header_is_an_error(job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
    write(job_dir, make_pipe(), [(STDOUT, b"x")])
    with (job_dir / "runs").open("r+b") as runs:
        runs.seek(20)
        runs.write(b"\xff")
    with LogReader.open(job_dir) as reader, pytest.raises(CorruptLog):
        reader.state()


def test_bytes_that_are_not_in_memory_are_not_waited_for(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    data = os.urandom(1 << 20)
    write(job_dir, make_pipe(), [(STDOUT, data), (STDERR, b"e"), (STDOUT, b"!")])

    def is_refused(cursor: Cursor) -> bool:
        evict(job_dir / "output")
        try:
            cursor.next_chunks(wait=False)
        except BlockingIOError:
            return True
        return False

    with LogReader.open(job_dir) as reader:
        for stream, expected in ((None, data + b"e!"), (STDOUT, data + b"!")):
            # The kernel may decline to evict, so it is asked more than once.
            refused = (c for c in (Cursor(reader, 0, stream) for _ in range(100)) if is_refused(c))
            cursor = next(refused, None)
            if cursor is None:
                pytest.skip("this file system keeps everything in memory")
            assert cursor.offset == 0
            assert read_all(cursor) == expected


def test_a_few_bytes_between_much_of_the_other_stream_are_found_without_reading_it(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    noise = bytes(100_000)
    runs = [(STDERR, noise), (STDOUT, b"needle"), (STDERR, noise), (STDOUT, b"pin")]
    write(job_dir, make_pipe(), runs)
    with LogReader.open(job_dir) as reader:
        cursor = Cursor(reader, 0, STDOUT)
        assert next_bytes(cursor) == b"needlepin"
        assert next_bytes(cursor) == b""
        assert next_bytes(Cursor(reader, 3, STDOUT)) == b"dlepin"
        assert read_all(Cursor(reader, 1, STDERR)) == (noise * 2)[1:]


def test_streams_that_alternate_byte_by_byte_are_joined_into_large_chunks(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    count = 10_000
    runs = [(stream, bytes([i % 251])) for i in range(count) for stream in (STDOUT, STDERR)]
    write(job_dir, make_pipe(), runs)
    expected = bytes(i % 251 for i in range(count))
    with LogReader.open(job_dir) as reader:
        assert reader.state() == LogState(2 * count, count, closed=True, complete=True)
        for stream in (STDOUT, STDERR):
            chunks = chunks_of(Cursor(reader, 0, stream))
            assert b"".join(chunk.data for chunk in chunks) == expected
            assert len(chunks) < 10
            for offset in (0, 1, 1234, count - 1, count):
                assert read_all(Cursor(reader, offset, stream)) == expected[offset:]


def test_readers_at_the_same_place_get_the_same_object(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    write(job_dir, make_pipe(), [(STDOUT, b"shared by all")])
    with LogReader.open(job_dir) as reader:
        reader.share(among_many=True)
        assert reader.read(2) is reader.read(2)
        assert reader.read(2, 3) == b"are"
        reader.share(among_many=False)
        assert reader.read(2) is not reader.read(2)


def test_closing_twice_closes_nothing_else(job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
    write(job_dir, make_pipe(), [(STDOUT, b"x")])
    reader = LogReader.open(job_dir)
    reader.close()
    reader.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.state()
