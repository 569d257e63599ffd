from __future__ import annotations

import errno
import fcntl
import os
import pty
import resource
import stat
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from service.output.index import STDERR, STDOUT, LogState, Record, record_position
from service.output.reader import LogReader
from service.output.run_records import RECORD_EVERY_NS
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.output.conftest import Pipe


def read_records(directory: Path) -> list[Record]:
    with LogReader.open(directory) as reader:
        return reader.records(0, 10_000)


def test_bytes_come_out_as_they_went_in(job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
    pipe = make_pipe()
    log = LogWriter.create(job_dir)
    data = bytes(range(256)) + b"\0\r\n\0" + "ü\n".encode()[:1]
    pipe.write(data)
    assert log.splice_from(pipe.reader, STDOUT, 0) == len(data)
    assert (log.end, log.state.stdout_end) == (len(data), len(data))
    log.close(complete=True)
    assert (job_dir / "output").read_bytes() == data


def test_a_log_on_demand_has_no_files_before_its_first_byte(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    log = LogWriter.on_demand(job_dir)
    with pytest.raises(BlockingIOError):
        log.splice_from(pipe.reader, STDERR, 0)
    assert (os.listdir(job_dir), log.is_open, log.is_made) == ([], True, False)
    pipe.write(b"now")
    assert log.splice_from(pipe.reader, STDERR, 0) == 3
    assert log.is_made
    with LogReader.open(job_dir) as reader:
        assert (reader.state().size(STDERR), reader.read(0)) == (3, b"now")
        log.close(complete=True)
        assert reader.state().complete


def test_a_log_on_demand_is_made_for_whoever_wants_to_read_it(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    log = LogWriter.on_demand(job_dir)
    log.make()
    log.make()
    with LogReader.open(job_dir) as reader:
        assert reader.state() == LogState()
        pipe.write(b"now")
        log.splice_from(pipe.reader, STDOUT, 0)
        assert reader.read(0) == b"now"
    log.close(complete=True)


def test_a_silent_log_on_demand_leaves_no_file(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    log = LogWriter.on_demand(job_dir)
    pipe.end()
    assert log.splice_from(pipe.reader, STDOUT, 0) == 0
    log.close(complete=True)
    log.make()
    assert (os.listdir(job_dir), log.is_open) == ([], False)
    assert (log.state.closed, log.state.complete, log.state.end) == (True, True, 0)


def test_files_are_private_and_not_inherited(job_dir: Path) -> None:
    log = LogWriter.create(job_dir)
    for name in ("output", "runs"):
        assert stat.S_IMODE((job_dir / name).stat().st_mode) == 0o600
    ours = [
        int(fd)
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
        and os.readlink(f"/proc/self/fd/{fd}").startswith(str(job_dir))
    ]
    assert len(ours) == 2
    assert not any(os.get_inheritable(fd) for fd in ours)
    log.detach()


def test_create_accepts_a_descriptor_of_the_directory(job_dir: Path) -> None:
    directory_fd = os.open(job_dir, os.O_PATH)
    try:
        LogWriter.create(directory_fd).detach()
        LogWriter.reopen(directory_fd).detach()
        LogReader.open(directory_fd).close()
    finally:
        os.close(directory_fd)
    assert (job_dir / "runs").exists()


@pytest.mark.parametrize("existing", ["output", "runs"])
def test_create_never_touches_an_existing_log(job_dir: Path, existing: str) -> None:
    (job_dir / existing).write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        LogWriter.create(job_dir)
    assert [path.name for path in job_dir.iterdir()] == [existing]
    assert (job_dir / existing).read_bytes() == b"precious"


def test_empty_pipe_makes_no_record_and_says_so(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    log = LogWriter.create(job_dir)
    with pytest.raises(BlockingIOError):
        log.splice_from(pipe.reader, STDOUT, 0)
    pipe.end()
    assert log.splice_from(pipe.reader, STDOUT, 0) == 0
    assert read_records(job_dir) == []
    log.detach()


def test_end_of_output_makes_no_record_when_one_was_not_due(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    log = LogWriter.create(job_dir, clock_ns=lambda: 0)
    pipe.write(b"x")
    assert log.splice_from(pipe.reader, STDOUT, 0) == 1
    with pytest.raises(BlockingIOError):
        log.splice_from(pipe.reader, STDOUT, 0)
    pipe.end()
    assert log.splice_from(pipe.reader, STDOUT, 0) == 0
    assert len(read_records(job_dir)) == 1
    log.detach()


def test_record_is_written_when_stream_or_command_or_time_changes(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    now = 0
    log = LogWriter.create(job_dir, clock_ns=lambda: now)
    pipe = make_pipe()

    def put(data: bytes, stream: int, command: int) -> None:
        pipe.write(data)
        assert log.splice_from(pipe.reader, stream, command) == len(data)

    put(b"aa", STDOUT, 0)
    put(b"a", STDOUT, 0)
    put(b"bb", STDERR, 0)
    put(b"c", STDERR, 1)
    now += RECORD_EVERY_NS - 1
    put(b"c", STDERR, 1)
    now += 1
    put(b"c", STDERR, 1)
    put(b"d", STDOUT, 1)
    log.close(complete=True)
    assert [(r.offset, r.stream_offset, r.stream, r.command) for r in read_records(job_dir)] == [
        (0, 0, STDOUT, 0),
        (3, 0, STDERR, 0),
        (5, 2, STDERR, 1),
        (7, 4, STDERR, 1),
        (8, 3, STDOUT, 1),
    ]


def test_one_step_moves_at_most_256_kib(job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
    pipe = make_pipe()
    try:
        fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, 1 << 20)
    except PermissionError:
        pytest.skip("pipes of 1 MiB are not allowed here")
    pipe.write(bytes(1 << 20))
    log = LogWriter.create(job_dir)
    assert log.splice_from(pipe.reader, STDOUT, 0) == 256 * 1024
    log.detach()


@pytest.mark.parametrize("complete", [True, False])
def test_close_tells_readers_and_may_be_repeated(job_dir: Path, *, complete: bool) -> None:
    log = LogWriter.create(job_dir)
    assert log.is_open
    log.close(complete=complete)
    log.close(complete=not complete)
    assert not log.is_open
    with LogReader.open(job_dir) as reader:
        assert reader.state() == LogState(0, 0, closed=True, complete=complete)
    again = LogWriter.reopen(job_dir)
    assert not again.is_open
    assert again.state == log.state == LogState(0, 0, closed=True, complete=complete)
    again.close(complete=not complete)
    with LogReader.open(job_dir) as reader:
        assert reader.state() == log.state


def test_terminal_is_read_and_written(job_dir: Path) -> None:
    # A terminal can't be spliced, and reports its end as EIO.
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    log = LogWriter.create(job_dir)
    try:
        with pytest.raises(BlockingIOError):
            log.splice_from(master, STDOUT, 0)
        os.write(slave, b"hello\n")
        assert log.splice_from(master, STDOUT, 0) == 6
        with pytest.raises(BlockingIOError):
            log.splice_from(master, STDOUT, 0)
        os.close(slave)
        assert log.splice_from(master, STDOUT, 0) == 0
    finally:
        os.close(master)
    log.close(complete=True)
    assert (job_dir / "output").read_bytes() == b"hello\n"
    assert len(read_records(job_dir)) == 1


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """A limit of the kernel that makes writes fail as a full disk does, without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_bytes_that_can_not_be_written_stay_in_the_pipe(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    data = os.urandom(60_000)
    pipe.write(data)
    log = LogWriter.create(job_dir)
    with file_size_limit(10_000):
        moved = log.splice_from(pipe.reader, STDOUT, 0)
        assert moved <= 10_000
        with pytest.raises(OSError, match="File too large") as caught:
            log.splice_from(pipe.reader, STDOUT, 0)
    assert caught.value.errno == errno.EFBIG
    assert log.end == moved
    while log.end < len(data):
        log.splice_from(pipe.reader, STDOUT, 0)
    log.close(complete=True)
    assert (job_dir / "output").read_bytes() == data


def test_bytes_read_from_a_terminal_are_held_until_they_can_be_written(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    other = make_pipe()
    log = LogWriter.create(job_dir)
    try:
        with file_size_limit(200):  # room for the header and a record, not for all the bytes
            os.write(slave, b"t" * 1000)
            with pytest.raises(OSError, match="File too large"):
                log.splice_from(master, STDOUT, 0)
            assert log.end == 200
            other.write(b"e" * 5)
            with pytest.raises(OSError, match="File too large"):
                log.splice_from(other.reader, STDERR, 0)
        assert log.splice_from(other.reader, STDERR, 0) == 5
    finally:
        os.close(slave)
        os.close(master)
    assert (log.end, log.state.stdout_end) == (1005, 1000)
    log.close(complete=True)
    assert (job_dir / "output").read_bytes() == b"t" * 1000 + b"e" * 5
    assert [r.offset for r in read_records(job_dir)] == [0, 1000]


@contextmanager
def full_disk_under(path: Path) -> Iterator[None]:
    """Has every write to this open file fail for want of room."""
    links = {int(fd): f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")}
    (fd,) = (n for n, link in links.items() if os.path.exists(link) and path.samefile(link))
    real = os.dup(fd)
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, fd, inheritable=False)
    os.close(full)
    try:
        yield
    finally:
        os.dup2(real, fd, inheritable=False)
        os.close(real)


def test_header_that_could_not_be_written_is_written_by_the_next_call(
    job_dir: Path, make_pipe: Callable[[], Pipe]
) -> None:
    pipe = make_pipe()
    log = LogWriter.create(job_dir, clock_ns=lambda: 0)
    pipe.write(b"a")
    assert log.splice_from(pipe.reader, STDOUT, 0) == 1
    pipe.write(b"b")
    with full_disk_under(job_dir / "runs"):
        for _ in range(2):
            with pytest.raises(OSError, match="No space left"):
                log.splice_from(pipe.reader, STDOUT, 0)
    with LogReader.open(job_dir) as reader:
        assert reader.state() == LogState(1, 1)
        with pytest.raises(BlockingIOError):
            log.splice_from(pipe.reader, STDOUT, 0)
        assert reader.state() == LogState(2, 2) == log.state
    log.close(complete=True)
    assert (job_dir / "output").read_bytes() == b"ab"


def test_log_that_could_not_be_closed_can_be_closed_later(job_dir: Path) -> None:
    log = LogWriter.create(job_dir)
    with full_disk_under(job_dir / "runs"), pytest.raises(OSError, match="No space left"):
        log.close(complete=True)
    assert log.is_open
    log.close(complete=True)
    assert log.state == LogState(0, 0, closed=True, complete=True)


def test_held_bytes_that_never_found_room_make_the_log_incomplete(job_dir: Path) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    log = LogWriter.create(job_dir)
    try:
        with file_size_limit(200):
            os.write(slave, b"t" * 1000)
            with pytest.raises(OSError, match="File too large"):
                log.splice_from(master, STDOUT, 0)
            log.close(complete=True)
    finally:
        os.close(slave)
        os.close(master)
    with LogReader.open(job_dir) as reader:
        assert reader.state() == LogState(200, 200, closed=True, complete=False)


class TestReopen:
    """What a successor finds, and what it makes of it."""

    def write(self, directory: Path, make_pipe: Callable[[], Pipe]) -> None:
        pipe = make_pipe()
        log = LogWriter.create(directory)
        for data, stream in ((b"out", STDOUT), (b"errors", STDERR)):
            pipe.write(data)
            log.splice_from(pipe.reader, stream, 3)
        log.detach()

    def reopened(self, directory: Path) -> tuple[LogState, list[str], int]:
        log = LogWriter.reopen(directory)
        log.detach()
        with LogReader.open(directory) as reader:
            assert reader.state() == log.state
        again = LogWriter.reopen(directory)
        assert again.repairs == []
        again.detach()
        return log.state, log.repairs, len(read_records(directory))

    def test_sound_log_needs_no_repair(self, job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
        self.write(job_dir, make_pipe)
        assert self.reopened(job_dir) == (LogState(9, 3), [], 2)

    def test_bytes_beyond_the_header_belong_to_the_last_run(
        self, job_dir: Path, make_pipe: Callable[[], Pipe]
    ) -> None:
        self.write(job_dir, make_pipe)
        with (job_dir / "output").open("ab") as output:
            output.write(b"more")
        state, repairs, records = self.reopened(job_dir)
        assert (state, records) == (LogState(13, 3), 2)
        assert repairs == ["4 bytes beyond the header's end belong to the last run"]

    def test_torn_record_is_cut(self, job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
        self.write(job_dir, make_pipe)
        with (job_dir / "runs").open("ab") as runs:
            runs.write(b"\1" * 17)
        state, repairs, records = self.reopened(job_dir)
        assert (state, records) == (LogState(9, 3), 2)
        assert repairs == ["a record was torn: 17 bytes of it cut"]

    def test_zeros_and_records_beyond_the_end_are_cut(
        self, job_dir: Path, make_pipe: Callable[[], Pipe]
    ) -> None:
        self.write(job_dir, make_pipe)
        with (job_dir / "runs").open("ab") as runs:
            runs.write(Record(10_000, 3, 0, 0, STDOUT).pack() + bytes(32))
        state, repairs, records = self.reopened(job_dir)
        assert (state, records) == (LogState(9, 3), 2)
        assert repairs == ["2 records that point to nothing were cut"]

    def test_missing_bytes_are_told(self, job_dir: Path, make_pipe: Callable[[], Pipe]) -> None:
        self.write(job_dir, make_pipe)
        os.truncate(job_dir / "output", 2)
        state, repairs, records = self.reopened(job_dir)
        assert (state, records) == (LogState(2, 2), 1)
        assert repairs == [
            "1 records that point to nothing were cut",
            "7 bytes that were announced are missing",
        ]

    def test_damaged_header_is_written_anew(
        self, job_dir: Path, make_pipe: Callable[[], Pipe]
    ) -> None:
        self.write(job_dir, make_pipe)
        with (job_dir / "runs").open("r+b") as runs:
            runs.write(b"garbage")
        state, repairs, records = self.reopened(job_dir)
        assert (state, records) == (LogState(9, 3), 2)
        assert repairs == ["the header was written anew: the header's checksum is wrong"]

    def test_missing_index_is_made_anew_and_all_bytes_stay_readable(
        self, job_dir: Path, make_pipe: Callable[[], Pipe]
    ) -> None:
        self.write(job_dir, make_pipe)
        (job_dir / "runs").unlink()
        state, repairs, records = self.reopened(job_dir)
        assert (state, records) == (LogState(9, 9), 1)
        assert len(repairs) == 2

    def test_log_that_is_not_there_is_not_made(self, job_dir: Path) -> None:
        with pytest.raises(FileNotFoundError):
            LogWriter.reopen(job_dir)
        assert list(job_dir.iterdir()) == []

    def test_writer_goes_on_where_the_other_ended(
        self, job_dir: Path, make_pipe: Callable[[], Pipe]
    ) -> None:
        self.write(job_dir, make_pipe)
        pipe = make_pipe()
        pipe.write(b"again")
        log = LogWriter.reopen(job_dir)
        log.splice_from(pipe.reader, STDERR, 3)
        log.close(complete=True)
        assert (job_dir / "output").read_bytes() == b"outerrorsagain"
        assert [r.offset for r in read_records(job_dir)] == [0, 3, 9]
        assert os.path.getsize(job_dir / "runs") == record_position(3)
