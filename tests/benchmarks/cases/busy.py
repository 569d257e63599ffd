"""What a thousand jobs cost that write a line a second each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, at_most
from memory import private_kb
from processes import cpu_s, of_service
from running import running
from wire import Line, request

_JOBS = 1_000
# Lines of one job, a second apart, that a round lasts.
_LINES = 5
_COMMAND = "exec 9<> <(:); while :; do echo a line; read -t 1 -u 9; done"


@contextmanager
def _busy(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "busy", workers=1) as service, Line(service.port) as line:
        before = sum(map(private_kb, of_service(service)))
        job = [line.submit({"CommandLine": _COMMAND}) for _ in range(_JOBS)][-1]
        while line.ask(request("GET", "/?state=pending"))["IDs"]:
            pass

        def ours() -> tuple[float, float]:
            with service.client.stream("GET", f"/{job}/attach?offset=-1") as answer:
                lines = answer.iter_lines()
                next(lines)
                cpu, begun = cpu_s(of_service(service)), time.perf_counter()
                for _ in range(_LINES):
                    next(lines)
                cores = (cpu_s(of_service(service)) - cpu) / (time.perf_counter() - begun)
            kilobytes = sum(map(private_kb, of_service(service))) - before
            return cores, kilobytes * 1024 / 1000 / _JOBS

        yield Setup(ours, warm_up=False)


CASES = (
    Case(
        "busy",
        "1000 running jobs that write a line a second each",
        (
            Row("busy: cores", "cores", goal=at_most(0.3)),
            Row("busy: memory", "kB a job", goal=at_most(20)),
        ),
        _busy,
    ),
)
