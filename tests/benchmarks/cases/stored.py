"""What a long history costs: the service with many finished jobs against one with a page of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from case import Case, Lab, Row, Setup, at_most
from running import Service, running
from stored_jobs import fill
from wire import Line, request, run_jobs

_FEW = 1_000  # one full page, so that all lists are of the same length
# Requests of each kind in a round.
_REQUESTS = 200
_PAGES = ("state=all", "state=all&label=of=some", f"state=all&order=newest&limit={_FEW}")


def _measure(service: Service, known: str) -> tuple[float, ...]:
    submit = run_jobs(service.port, {"CommandLine": "true"}, _REQUESTS, at_once=1)
    with Line(service.port) as line:
        show = _time(line, f"/{known}", _REQUESTS)
        pages = [_time(line, f"/?{query}", _REQUESTS // 10) for query in _PAGES]
    return (submit / _REQUESTS * 1e3, show, *pages)


def _time(line: Line, path: str, times: int) -> float:
    message = request("GET", path)
    begun = time.perf_counter()
    for _ in range(times):
        line.ask(message)
    return (time.perf_counter() - begun) / times * 1e3


@contextmanager
def _opened(lab: Lab, jobs: int) -> Iterator[Setup]:
    keep_all = {"JOBRUNNER_RETAIN_BYTES": "0"}
    many, few = lab.directory / f"stored-{jobs}", lab.directory / f"few-beside-{jobs}"
    in_many, in_few = fill(many, jobs), fill(few, _FEW)

    def run(directory: Path, known: str) -> tuple[float, ...]:
        begun = time.perf_counter()
        with running(directory, environment=keep_all, workers=1) as service:
            started = time.perf_counter() - begun
            return (started, *_measure(service, known))

    yield Setup(lambda: run(many, in_many), lambda: run(few, in_few), warm_up=False)


def _case(name: str, jobs: int, *, submit: float) -> Case:
    written = f"{jobs:,}".replace(",", " ")
    bounds = {
        "start": ("s", 1.2),
        "submit": ("ms", submit),
        "show": ("ms", 1.2),
        "first page": ("ms", 2),
        "page by label": ("ms", 2),
        "last page": ("ms", 2),
    }
    return Case(
        name,
        f"what {written} finished jobs cost: start, submit until finished, show, pages of the list",
        tuple(
            Row(f"{name}: {what}", unit, f"{_FEW} stored jobs", at_most(bound))
            for what, (unit, bound) in bounds.items()
        ),
        partial(_opened, jobs=jobs),
    )


CASES = (
    _case("stored", 100_000, submit=1.11),
    _case("stored-1m", 1_000_000, submit=1.2),
)
