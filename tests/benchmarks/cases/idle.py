"""What an idle running job costs in memory, in all processes of the service together."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, at_most
from memory import family, private_kb, proportional_kb
from processes import cpu_s, switches
from running import Service, running
from wire import Line, request, run_jobs

# Jobs that run first, so that what is made once, and the first growth of tables, isn't counted.
_FINISHED_BEFORE = 50
_IDLE_BEFORE = 50
# Seconds between two looks at jobs that start, until the service is at rest, and that it is watched.
_PAUSE_S = 0.05
_AT_REST_S = 5
_WATCHED_S = 10


@contextmanager
def _idle(lab: Lab) -> Iterator[Setup]:
    numbers = itertools.count()

    def ours() -> tuple[float, ...]:
        # Memory that was used once is used again, so each round has a service of its own.
        with _service(lab, f"idle-{next(numbers)}") as (service, line):
            return _grown(service, line, lab.idle_jobs, {})

    yield Setup(ours, warm_up=False)


@contextmanager
def _terminals(lab: Lab) -> Iterator[Setup]:
    numbers = itertools.count()

    def of(job: Mapping[str, object]) -> tuple[float, ...]:
        with _service(lab, f"terminals-{next(numbers)}") as (service, line):
            kb = _grown(service, line, lab.idle_jobs, job)
            line.socket.close()
            service.client.close()
            # Sanic's main process, and what it has for itself, wake ten times a second.
            pids = [*service.worker_pids(), service.supervisor_pid()]
            _wait(_AT_REST_S)
            woken, used = switches(pids), cpu_s(pids)
            _wait(_WATCHED_S)
            woken, used = switches(pids) - woken, cpu_s(pids) - used
        return kb[0], kb[-1], woken / _WATCHED_S, used / _WATCHED_S * 100

    yield Setup(lambda: of({"TTY": {}}), lambda: of({}), warm_up=False)


@contextmanager
def _service(lab: Lab, name: str) -> Iterator[tuple[Service, Line]]:
    slots = {"JOBRUNNER_MAX_RUNNING": str(_IDLE_BEFORE + lab.idle_jobs)}
    with (
        running(lab.directory / name, environment=slots, workers=1) as service,
        Line(service.port) as line,
    ):
        run_jobs(service.port, {"CommandLine": "true"}, _FINISHED_BEFORE, at_once=4)
        yield service, line


def _grown(
    service: Service, line: Line, count: int, job: Mapping[str, object]
) -> tuple[float, ...]:
    """kB of each job."""
    _start_idle(line, _IDLE_BEFORE, job)
    before = _kilobytes(service)
    _start_idle(line, count, job)
    after = _kilobytes(service)
    grown = [b - a for a, b in zip(before, after, strict=True)]
    return tuple(kb * 1024 / 1000 / count for kb in grown)


def _start_idle(line: Line, count: int, job: Mapping[str, object]) -> None:
    for _ in range(count):
        line.submit({"CommandLine": "exec sleep infinity", **job})
    # Asked again, not waited for: there is no route that waits for a start. The pause leaves the
    # processors to the starts.
    while line.ask(request("GET", "/?state=pending&limit=1"))["IDs"]:
        _wait(_PAUSE_S)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


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
        "--idle-jobs idle jobs with a terminal: memory of each, and what the service does for them",
        (
            Row("terminals", "kB", "jobs without"),
            Row("terminals: of it supervisor's", "kB", "jobs without"),
            Row("terminals: wake-ups", "/s", "jobs without", at_most(1.0), takes="difference"),
            Row("terminals: CPU", "%", "jobs without", at_most(0.2), takes="difference"),
        ),
        _terminals,
    ),
)
