"""Ten thousand idle jobs that run, against a hundred: what each of them holds, and costs others.

Where fewer descriptors are allowed than so many jobs may take, as many as they suffice for.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from case import Case, Lab, Row, Setup, at_least, at_most
from memory import private_kb
from processes import of_service, open_at_most
from running import Service, running
from wire import Line, request, run_jobs

_MANY, _FEW = 10_000, 100
# Jobs that run first, so that what is made once isn't counted.
_BEFORE = 100
_SUBMITTED = 200
# Descriptors of one that is idle: two pipes, and its log once there is output.
_DESCRIPTORS = 4
# What else there is, with room for what jobs take while they start.
_OTHERS = 1000
_PAUSE_S = 0.05


@contextmanager
def _opened(lab: Lab) -> Iterator[Setup]:
    numbers = itertools.count()
    allowed = open_at_most(_MANY * _DESCRIPTORS + _OTHERS)
    many = (allowed - _OTHERS) // _DESCRIPTORS

    def of(jobs: int) -> tuple[float, ...]:
        slots = {"JOBRUNNER_MAX_RUNNING": str(jobs + _BEFORE)}
        directory = lab.directory / f"live-{next(numbers)}"
        with ExitStack() as stack:
            service = stack.enter_context(running(directory, environment=slots, workers=1))
            line = stack.enter_context(Line(service.port))
            run_jobs(service.port, {"CommandLine": "true"}, _BEFORE, at_once=4)
            before_kb = _private_kb(service)
            for _ in range(jobs):
                line.submit({"CommandLine": "exec sleep infinity"})
            while line.ask(request("GET", "/?state=pending&limit=1"))["IDs"]:
                threading.Event().wait(_PAUSE_S)
            grown = (_private_kb(service) - before_kb) * 1024 / 1000 / jobs
            taken_s = run_jobs(service.port, {"CommandLine": "true"}, _SUBMITTED, at_once=4)
            listed_s = _list_s(line, jobs)
            begun_s = time.monotonic()
            killed = 0
            while killed < jobs:
                answer = line.ask(request("DELETE", "/?state=running&grace=0&wait=true"))
                killed += len(answer["Killed"])
            killed_s = time.monotonic() - begun_s
        return grown, _SUBMITTED / taken_s, listed_s / jobs * 1e6, killed_s / jobs * 1e3

    yield Setup(lambda: of(many), lambda: (0.0, *of(_FEW)[1:]), warm_up=False)


def _private_kb(service: Service) -> int:
    return sum(map(private_kb, of_service(service)))


def _list_s(line: Line, jobs: int) -> float:
    """Seconds for all pages."""
    begun_s, listed, after = time.monotonic(), 0, ""
    while listed < jobs:
        page = line.ask(request("GET", f"/?limit=1000{after}"))
        listed += len(page["IDs"])
        after = f"&after={page.get('Next')}"
    return time.monotonic() - begun_s


CASES = (
    Case(
        "live",
        "10 000 idle running jobs, or as many as there are descriptors for: memory of each, submit beside them, list and kill of all of them",
        (
            Row("live", "kB each", "", at_most(8)),
            Row("live: submit", "/s", "beside 100", at_least(0.9)),
            Row("live: list", "µs each", "beside 100", at_most(1.2)),
            Row("live: kill", "ms each", "beside 100", at_most(1.2)),
        ),
        _opened,
    ),
)
