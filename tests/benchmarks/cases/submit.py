"""`bash -c true` from POST until it is finished and stored, against a bare posix_spawn loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from case import Case, Goal, Lab, Row, Setup, at_least
from program import answer_of, python
from running import running
from wire import Line, run_jobs

ONE_CALL = "?wait=60&output=0"
_IDLE = 1000


def submit(
    name: str, *, at_once: int, goal: Goal | None = None, workers: int = 1, query: str = ""
) -> Case:
    @contextmanager
    def opened(lab: Lab) -> Iterator[Setup]:
        with running(lab.directory / name, workers=workers) as service:

            def ours() -> tuple[float]:
                body = {"CommandLine": "true"}
                return (lab.jobs / run_jobs(service.port, body, lab.jobs, at_once, query),)

            def bare() -> tuple[float]:
                return (lab.jobs / answer_of(python("spawn_loop", lab.jobs, at_once)),)

            yield Setup(ours, bare)

    how = "in one request" if query else "from its POST until it is finished"
    about = f"jobs per second, {at_once} at a time, each {how}"
    return Case(name, about, (Row(name, "/s", "posix_spawn loop", goal),), opened)


@contextmanager
def _beside(lab: Lab) -> Iterator[Setup]:
    slots = {"JOBRUNNER_MAX_RUNNING": "2000"}
    full_directory, empty_directory = lab.directory / "full", lab.directory / "empty"
    with (
        running(full_directory, environment=slots, workers=1) as full,
        running(empty_directory, environment=slots, workers=1) as empty,
    ):
        with Line(full.port) as line:
            for _ in range(_IDLE):
                line.submit({"CommandLine": "exec sleep infinity"})

        def rate(port: int) -> tuple[float]:
            return (lab.jobs / run_jobs(port, {"CommandLine": "true"}, lab.jobs, at_once=4),)

        yield Setup(lambda: rate(full.port), lambda: rate(empty.port))


@contextmanager
def _in_one_call(lab: Lab) -> Iterator[Setup]:
    body = {"CommandLine": "echo done"}
    with running(lab.directory / "one-call", workers=1) as service:

        def rate(query: str) -> tuple[float]:
            return (lab.jobs / run_jobs(service.port, body, lab.jobs, at_once=4, query=query),)

        yield Setup(lambda: rate("?wait=60&output=2000"), lambda: rate(""))


CASES = (
    submit("submit-4", at_once=4, goal=at_least(0.45)),
    submit("submit-1", at_once=1),
    submit("submit-4-of-2", at_once=4, workers=2),
    submit("one-call-4", at_once=4, goal=at_least(0.55), query=ONE_CALL),
    Case(
        "submit-beside",
        "jobs per second, 4 at a time, with 1000 idle jobs running, against a service without any",
        (Row("submit-beside", "/s", "no idle jobs", at_least(0.95)),),
        _beside,
    ),
    Case(
        "one-call",
        "jobs per second, 4 at a time, each in one request that also has both ends of its output",
        (Row("one-call", "/s", "two requests", at_least(1)),),
        _in_one_call,
    ),
)
