"""What a thousand jobs cost that write a line a second each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from case import Case, Lab, Row, Setup, at_most
from memory import family, private_kb
from running import Service, running
from wire import Line, request

_JOBS = 1_000
# Lines of one job, a second apart, that a round lasts.
_LINES = 5
_COMMAND = "exec 9<> <(:); while :; do echo a line; read -t 1 -u 9; done"


@contextmanager
def _busy(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "busy") as service, Line(service.port) as line:
        before = sum(map(private_kb, _processes(service)))
        job = [line.submit({"CommandLine": _COMMAND}) for _ in range(_JOBS)][-1]
        while line.ask(request("GET", "/?state=pending"))["IDs"]:
            pass

        def ours() -> tuple[float, float]:
            with service.client.stream("GET", f"/{job}/attach?offset=-1") as answer:
                lines = answer.iter_lines()
                next(lines)
                cpu, begun = _cpu_s(service), time.perf_counter()
                for _ in range(_LINES):
                    next(lines)
                cores = (_cpu_s(service) - cpu) / (time.perf_counter() - begun)
            kilobytes = sum(map(private_kb, _processes(service))) - before
            return cores, kilobytes * 1024 / 1000 / _JOBS

        yield Setup(ours, warm_up=False)


def _processes(service: Service) -> list[int]:
    return [*family(service.process.pid), service.supervisor_pid()]


def _cpu_s(service: Service) -> float:
    """Seconds of processor time that all service processes have used. Source: proc(5), stat."""
    ticks = 0
    for pid in _processes(service):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
