"""What a long history costs: the service with 100 000 finished jobs against one with a page of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from case import Case, Lab, Row, Setup, at_most
from running import Service, running
from stored_jobs import fill
from wire import Line, request, run_jobs

_MANY = 100_000
_FEW = 1_000  # one full page, so that both lists are of the same length
# Requests of each kind in a round.
_REQUESTS = 200


def _measure(service: Service, known: str) -> tuple[float, float, float]:
    submit = run_jobs(service.port, {"CommandLine": "true"}, _REQUESTS, at_once=1)
    with Line(service.port) as line:
        show = _time(line, f"/{known}", _REQUESTS)
        page = _time(line, "/?state=all", _REQUESTS // 10)
    return submit / _REQUESTS * 1e3, show, page


def _time(line: Line, path: str, times: int) -> float:
    message = request("GET", path)
    begun = time.perf_counter()
    for _ in range(times):
        line.ask(message)
    return (time.perf_counter() - begun) / times * 1e3


@contextmanager
def _stored(lab: Lab) -> Iterator[Setup]:
    keep_all = {"JOBRUNNER_RETAIN_BYTES": "0"}
    many, few = lab.directory / "many", lab.directory / "few"
    in_many, in_few = fill(many, _MANY), fill(few, _FEW)

    def run(directory: Path, known: str) -> tuple[float, ...]:
        begun = time.perf_counter()
        with running(directory, environment=keep_all, workers=1) as service:
            started = time.perf_counter() - begun
            return (started, *_measure(service, known))

    yield Setup(lambda: run(many, in_many), lambda: run(few, in_few), warm_up=False)


CASES = (
    Case(
        "stored",
        "what 100 000 finished jobs cost: start, submit until finished, show, first page of all",
        (
            Row("stored: start", "s", "1000 stored jobs", at_most(1.2)),
            Row("stored: submit", "ms", "1000 stored jobs", at_most(1.11)),
            Row("stored: show", "ms", "1000 stored jobs", at_most(1.2)),
            Row("stored: first page", "ms", "1000 stored jobs", at_most(2)),
        ),
        _stored,
    ),
)
