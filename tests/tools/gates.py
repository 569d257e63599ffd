"""Order between a test and its jobs: a job announces itself in its output, and goes on when told.

A job says `ready`, then reads a line from a gate (`read -r _ < gate`); the test has seen `ready`
by attaching, and opens the gate when it wants the job to go on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from running import Service


class Gate:
    """A FIFO that is held open for reading and writing, so that neither side ever blocks in open(2)
    and what was written stays until it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def __str__(self) -> str:
        return str(self.path)

    def open(self, times: int = 1) -> None:
        """Let `times` readers pass, those who wait and those who come."""
        os.write(self._descriptor, b"\n" * times)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def attached(service: Service, job_id: str, **parameters: str) -> Iterator[Iterator[str]]:
    """The lines of a job's output, each as soon as it is there."""
    with service.client.stream("GET", f"/{job_id}/attach", params=parameters) as answer:
        assert answer.status_code == 200
        yield answer.iter_lines()


def lines(service: Service, job_id: str, count: int) -> list[str]:
    """The first `count` lines of a job's output, once they are there."""
    with attached(service, job_id) as output:
        return [next(output) for _ in range(count)]
