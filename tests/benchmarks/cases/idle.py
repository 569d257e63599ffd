"""What an idle running job costs in memory, in all processes of the service together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from case import Case, Lab, Row, Setup, at_most
from memory import family, private_kb, proportional_kb
from running import Service, running
from wire import Line, request, run_jobs

# Jobs that run first, so that what is made once, and the first growth of tables, isn't counted.
_FINISHED_BEFORE = 50
_IDLE_BEFORE = 50


@contextmanager
def _idle(lab: Lab, **job: object) -> Iterator[Setup]:
    numbers = itertools.count()

    def ours() -> tuple[float, ...]:
        # Memory that was used once is used again, so each round has a service of its own.
        directory = lab.directory / f"idle-{next(numbers)}"
        slots = {"JOBRUNNER_MAX_RUNNING": str(_IDLE_BEFORE + lab.idle_jobs)}
        with (
            running(directory, environment=slots, workers=1) as service,
            Line(service.port) as line,
        ):
            run_jobs(service.port, {"CommandLine": "true"}, _FINISHED_BEFORE, at_once=4)
            _start_idle(line, _IDLE_BEFORE, job)
            before = _kilobytes(service)
            _start_idle(line, lab.idle_jobs, job)
            after = _kilobytes(service)
        grown = [b - a for a, b in zip(before, after, strict=True)]
        return tuple(kb * 1024 / 1000 / lab.idle_jobs for kb in grown)

    yield Setup(ours, warm_up=False)


def _start_idle(line: Line, count: int, job: Mapping[str, object]) -> None:
    for _ in range(count):
        line.submit({"CommandLine": "exec sleep infinity", **job})
    # Asked again, not waited for: there is no route that waits for a start.
    while line.ask(request("GET", "/?state=pending"))["IDs"]:
        pass


def _kilobytes(service: Service) -> tuple[int, ...]:
    """Private and proportional of all, then private of the service's side and the supervisor's."""
    sanic, supervisor = family(service.process.pid), service.supervisor_pid()
    # The supervisor's other descendants are the jobs.
    theirs = sum(map(private_kb, sanic))
    proportional = sum(map(proportional_kb, sanic)) + proportional_kb(supervisor)
    own = private_kb(supervisor)
    return theirs + own, proportional, theirs, own


CASES = (
    Case(
        "idle",
        "kB of memory per idle running job, --idle-jobs of them, in all service processes",
        (
            Row("idle", "kB", goal=at_most(10)),
            Row("idle: proportional", "kB"),
            Row("idle: of it Sanic's", "kB"),
            Row("idle: of it supervisor's", "kB"),
        ),
        _idle,
    ),
    Case(
        "terminals",
        "kB of memory per idle running job with a terminal, --idle-jobs of them",
        (
            Row("terminals", "kB"),
            Row("terminals: proportional", "kB"),
            Row("terminals: of it Sanic's", "kB"),
            Row("terminals: of it supervisor's", "kB"),
        ),
        partial(_idle, TTY={}),
    ),
)
