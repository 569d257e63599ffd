"""Order between a test and its jobs: a job announces itself in its output, and goes on when told.

A job says `ready`, then reads a line from a gate (`read -r _ < gate`); the test has seen `ready`
by attaching, and opens the gate when it wants the job to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fifos import Fifo
from running import Service


class Gate(Fifo):
    """Where jobs wait until they are told to go on."""

    def open(self, times: int = 1) -> None:
        """Let `times` readers pass."""
        self.go(times)


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
