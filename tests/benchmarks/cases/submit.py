"""`bash -c true` from POST until it is finished and stored, against a bare posix_spawn loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from case import Case, Goal, Lab, Row, Setup, at_least
from program import answer_of, python
from running import running
from wire import run_jobs


def submit(name: str, *, at_once: int, goal: Goal | None) -> Case:
    @contextmanager
    def opened(lab: Lab) -> Iterator[Setup]:
        with running(lab.directory / name) as service:

            def ours() -> tuple[float]:
                body = {"CommandLine": "true"}
                return (lab.jobs / run_jobs(service.port, body, lab.jobs, at_once),)

            def bare() -> tuple[float]:
                return (lab.jobs / answer_of(python("spawn_loop", lab.jobs, at_once)),)

            yield Setup(ours, bare)

    about = f"jobs per second, {at_once} at a time, each from its POST until it is finished"
    return Case(name, about, (Row(name, "/s", "posix_spawn loop", goal),), opened)


CASES = (
    submit("submit-4", at_once=4, goal=at_least(0.55)),
    submit("submit-1", at_once=1, goal=None),
)
