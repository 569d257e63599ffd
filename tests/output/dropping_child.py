"""Kills a writer whose log has a limit before each of its system calls in turn.

Argument: an empty directory. For each number n a forked process writes a log that is several times
its limit, and is killed before its n-th call into the kernel, the one that frees the dropped bytes
included. What a reader then gets, and gets again when a successor went on, must be the bytes that
were written or nothing. Prints how many deaths there were.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

from dying import die_before
from log_readers import next_bytes

from service.errors import OutputDropped
from service.output import retention_window
from service.output.cursor import Cursor
from service.output.holes import punch
from service.output.index import STDERR, STDOUT
from service.output.reader import LogReader
from service.output.writer import LogWriter

LIMIT = 16384
STEP = 4096
DATA = {
    STDOUT: b"".join(b"out%05d\n" % number for number in range(5000)),
    STDERR: b"".join(b"err%05d\n" % number for number in range(3000)),
}


def write_all(directory: Path, pipes: dict[int, int]) -> None:
    log = LogWriter.reopen(directory)
    moved = True
    while moved:
        moved = False
        for stream, fd in pipes.items():
            with contextlib.suppress(BlockingIOError):
                moved |= log.splice_from(fd, stream, 0) > 0
    log.close(complete=True)


def check(directory: Path) -> None:
    with LogReader.open(directory) as reader:
        state = reader.state()
        for stream in (None, STDOUT, STDERR):
            cursor = Cursor(reader, 0, stream)
            while cursor.offset < state.size(stream):
                before = cursor.offset
                try:
                    chunk = next_bytes(cursor, limit=10_000)
                except OutputDropped as dropped:
                    cursor.offset = dropped.until
                    told = (before, dropped.until)
                    assert told == state.gap.of(stream)
                    continue
                assert b"\0" not in chunk
                if stream is not None:
                    assert chunk == DATA[stream][before : cursor.offset]


def one_history(directory: Path, number: int) -> bool:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    LogWriter.create(directory, limit=LIMIT).detach()
    pipes = {}
    for stream, data in DATA.items():
        pipes[stream], writer = os.pipe2(os.O_NONBLOCK)
        assert os.write(writer, data) == len(data)
        os.close(writer)
    pid = os.fork()
    if pid == 0:
        try:
            die_before(number, also=punch)
            write_all(directory, pipes)
        finally:
            os._exit(0)
    died = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    check(directory)
    write_all(directory, pipes)
    check(directory)
    with LogReader.open(directory) as reader:
        state = reader.state()
        assert state.complete
        assert [state.size(stream) for stream in DATA] == [len(data) for data in DATA.values()]
        assert 0 < state.gap.start < state.gap.end
    assert (directory / "output").stat().st_blocks * 512 <= LIMIT + 2 * STEP + 8192
    for fd in pipes.values():
        os.close(fd)
    return died


def main(directory: Path) -> None:
    retention_window._MIN_STEP_BYTES = STEP
    number = 0
    while one_history(directory, number):
        number += 1
    print(number)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "job")
