"""Kills a writer before each of its system calls in turn, and checks what its successor makes.

Argument: an empty directory. For each number n a forked process writes a log and is killed before
its n-th call into the kernel; a second one, killed before its m-th, tries to go on; a third one
does. Every byte must then be in the log exactly once, as output of the right stream and command.
Prints how many deaths there were.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

from dying import die_before

from service.output.index import STDERR, STDOUT
from service.output.reader import LogReader
from service.output.writer import LogWriter

SOURCES = [(STDOUT, 0), (STDERR, 0), (STDOUT, 1), (STDERR, 1)]
DATA = {source: bytes([97 + number]) * (5 + number) for number, source in enumerate(SOURCES)}


def write_all(directory: Path, pipes: dict[tuple[int, int], int]) -> None:
    try:
        log = LogWriter.reopen(directory)
    except FileNotFoundError:
        log = LogWriter.create(directory)
    for source, fd in pipes.items():
        with contextlib.suppress(BlockingIOError):
            while log.splice_from(fd, *source):
                pass
    log.close(complete=True)


def killed(directory: Path, pipes: dict[tuple[int, int], int], number: int) -> bool:
    """Whether a process that does all the work was killed before its `number`-th call."""
    pid = os.fork()
    if pid == 0:
        try:
            die_before(number)
            write_all(directory, pipes)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def found_in(directory: Path) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    with LogReader.open(directory) as reader:
        state = reader.state()
        assert state.closed, state
        assert state.complete, state
        records = reader.records(0, 1000)
        ends = [record.offset for record in records[1:]] + [state.end]
        for record, end in zip(records, ends, strict=True):
            data = reader.read(record.offset, end - record.offset)
            source = (record.stream, record.command)
            found[source] = found.get(source, b"") + data
        assert state.stdout_end == sum(len(DATA[s]) for s in SOURCES if s[0] == STDOUT)
    return found


def one_history(directory: Path, first: int, second: int) -> tuple[bool, bool]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    pipes = {}
    for source in SOURCES:
        pipes[source], writer = os.pipe2(os.O_NONBLOCK)
        os.write(writer, DATA[source])
        os.close(writer)
    deaths = (killed(directory, pipes, first), killed(directory, pipes, second))
    write_all(directory, pipes)
    assert found_in(directory) == DATA, (first, second, found_in(directory))
    for fd in pipes.values():
        os.close(fd)
    return deaths


def main(directory: Path) -> None:
    count = 0
    first = 0
    died = True
    while died:
        second = 0
        died_again = True
        while died_again:
            died, died_again = one_history(directory, first, second)
            count += died + died_again
            second += 1
        first += 1
    print(count)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "job")
