"""What one job's noise costs the others, and what a service costs in which nothing happens."""

from __future__ import annotations

import itertools
import shlex
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from case import Case, Lab, Row, Setup, at_least, at_most
from memory import private_kb
from processes import cpu_s, of_service, switches
from program import python
from running import Service, running
from wire import BadAnswer, Line, request

from cases.latency import latencies_us

_IDLE_JOBS = 1000
_READERS = 500
# Seconds that a quiet service is watched, after as many in which it may come to rest.
_WATCHED_S = 10
_REQUESTS = 500
# What the quiet job writes, for about as long as the floods take.
_QUIET_INTERVAL_S = 0.004
_QUIET_LINES = 200
_MB = 1e6


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


@contextmanager
def _quiet(lab: Lab) -> Iterator[Setup]:
    slots = {"JOBRUNNER_MAX_RUNNING": "2000"}
    with running(lab.directory / "quiet", environment=slots, workers=1) as service:
        with Line(service.port) as line:
            for _ in range(_IDLE_JOBS):
                line.submit({"CommandLine": "exec sleep infinity"})
            while line.ask(request("GET", "/?state=pending"))["IDs"]:
                pass
        service.client.close()
        _wait(_WATCHED_S)

        def ours() -> tuple[float, float]:
            # Sanic's main process, and what it has for itself, wake ten times a second.
            pids = [*service.worker_pids(), service.supervisor_pid()]
            woken, used = switches(pids), cpu_s(pids)
            _wait(_WATCHED_S)
            woken, used = switches(pids) - woken, cpu_s(pids) - used
            return woken / _WATCHED_S, used / _WATCHED_S * 100

        yield Setup(ours, warm_up=False)


@contextmanager
def _attached(lab: Lab) -> Iterator[Setup]:
    numbers = itertools.count()

    def ours() -> tuple[float]:
        # Memory that was used once is used again, so each round has a service of its own.
        directory = lab.directory / f"attached-{next(numbers)}"
        with (
            running(directory, workers=1) as service,
            Line(service.port) as line,
            ExitStack() as open_,
        ):
            path = f"/{line.submit({'CommandLine': 'exec sleep infinity'})}/attach"
            for _ in range(50):
                open_.enter_context(Line(service.port)).open_stream(path)
            before = sum(map(private_kb, of_service(service)))
            for _ in range(_READERS):
                open_.enter_context(Line(service.port)).open_stream(path)
            grown = sum(map(private_kb, of_service(service))) - before
        return (grown * 1024 / 1000 / _READERS,)

    yield Setup(ours, warm_up=False)


@contextmanager
def _beside_flood(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "beside", workers=1) as service, Line(service.port) as line:

        def flooded() -> tuple[float]:
            job_id = line.submit({"CommandLine": f"head -c {2 * lab.size_bytes} /dev/zero"})
            p99 = _p99_ms(line)
            line.ask(request("DELETE", f"/{job_id}?grace=0&wait=true"))
            line.ask(request("POST", f"/{job_id}/clean"))
            return (p99,)

        yield Setup(flooded, lambda: (_p99_ms(line),))


def _p99_ms(line: Line) -> float:
    message = request("GET", "/")
    taken = []
    for _ in range(_REQUESTS):
        begun = time.perf_counter()
        line.ask(message)
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.quantiles(taken, n=100)[98]


class Flood:
    """A job that floods, and its live reader in a process of its own: readers that share an
    interpreter would wait for each other.
    """

    def __init__(self, service: Service, size_bytes: int) -> None:
        self._process = subprocess.Popen(
            python("flood", service.port, size_bytes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> float:
        """The seconds that it took."""
        answer, _ = self._process.communicate()
        if self._process.returncode:
            raise BadAnswer("a flood came to no good end")
        return float(answer)


@contextmanager
def _four(lab: Lab) -> Iterator[Setup]:
    size_bytes = lab.size_bytes // 4
    with running(lab.directory / "four", workers=2) as service:

        def ready(count: int) -> list[Flood]:
            return [Flood(service, size_bytes) for _ in range(count)]

        def rate(floods: list[Flood]) -> float:
            slowest_s = max(flood.end() for flood in floods)
            return len(floods) * size_bytes / slowest_s / _MB

        def one() -> tuple[float]:
            floods = ready(1)
            floods[0].begin()
            return (rate(floods),)

        def ours() -> tuple[float, float]:
            floods = ready(4)
            with Line(service.port) as line:
                stamps = shlex.join(python("stamps", 100_000, _QUIET_INTERVAL_S))
                job_id = line.submit({"CommandLine": f"exec {stamps}"})
                stream = line.open_stream(f"/{job_id}/attach")
                latencies_us(stream.receive, 20, dropped=0)
                for flood in floods:
                    flood.begin()
                _, p99_us = latencies_us(stream.receive, _QUIET_LINES, dropped=0)
                together = rate(floods)
            with Line(service.port) as line:
                line.ask(request("DELETE", f"/{job_id}?grace=0&wait=true"))
            return together, p99_us / 1000

        yield Setup(ours, one)


CASES = (
    Case(
        "quiet",
        "a service with 1000 idle jobs in which nothing happens: supervisor and workers",
        (
            Row("quiet: wake-ups", "/s", goal=at_most(0.5)),
            Row("quiet: CPU", "%", goal=at_most(0.2)),
        ),
        _quiet,
    ),
    Case(
        "attached",
        "kB of memory per idle attached reader, in all service processes",
        (Row("attached", "kB", goal=at_most(12)),),
        _attached,
    ),
    Case(
        "beside",
        "p99 of GET / while a job floods, against none that does",
        (Row("beside: GET /", "ms", "idle service", at_most(5), takes="difference"),),
        _beside_flood,
    ),
    Case(
        "four",
        "four jobs that flood, a live reader each, two workers: all together, and a quiet job's p99",
        (
            Row("four", "MB/s", "one such job", at_least(1.0)),
            Row("four: quiet p99", "ms", goal=at_most(10)),
        ),
        _four,
    ),
)
