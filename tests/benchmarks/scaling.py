"""How costs grow with size: each a list of sizes, a measurement at each, and a chart of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from case import Lab
from cases.stored import fill
from plot import line_chart
from running import running
from wire import Line, request, run_jobs

_JOBS = 100
_MB = 1e6
_KEEP_ALL = {"JOBRUNNER_RETAIN_BYTES": "0", "JOBRUNNER_MAX_RUNNING": "2000"}

Measure = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Scale:
    """`at` sets a service up for a size, and gives what measures it."""

    name: str
    across: str
    up: str
    sizes: tuple[int, ...]
    at: Callable[[Lab, int], Iterator[Measure]]


def draw(scale: Scale, lab: Lab, directory: Path, tell: Callable[[str], None]) -> Path:
    """Measure at all sizes, medians over the rounds, and write the chart into `directory`."""
    points = []
    for size in scale.sizes:
        tell(f"{scale.name}: {size} {scale.across}")
        with contextmanager(scale.at)(lab, size) as measure:
            points.append((float(size), statistics.median(measure() for _ in range(lab.rounds))))
    path = directory / f"{scale.name}.svg"
    title = f"{scale.name}, median of {lab.rounds}"
    path.write_text(line_chart(title, scale.across, scale.up, points))
    return path


def _milliseconds_a_job(port: int) -> float:
    return run_jobs(port, {"CommandLine": "true"}, _JOBS, at_once=1) / _JOBS * 1e3


def _stored(lab: Lab, size: int) -> Iterator[Measure]:
    directory = lab.directory / f"scale-stored-{size}"
    fill(directory, size)
    with running(directory, environment=_KEEP_ALL, workers=1) as service:
        yield lambda: _milliseconds_a_job(service.port)


def _running(lab: Lab, size: int) -> Iterator[Measure]:
    directory = lab.directory / f"scale-running-{size}"
    with (
        running(directory, environment=_KEEP_ALL, workers=1) as service,
        Line(service.port) as line,
    ):
        for _ in range(size):
            line.submit({"CommandLine": "exec sleep infinity"})
        while line.ask(request("GET", "/?state=pending"))["IDs"]:
            pass
        yield lambda: _milliseconds_a_job(service.port)


def _output(lab: Lab, size: int) -> Iterator[Measure]:
    with (
        running(lab.directory / f"scale-output-{size}", workers=1) as service,
        Line(service.port) as line,
    ):
        flood = {"CommandLine": f"head -c {size << 20} /dev/zero"}

        def measure() -> float:
            run = run_jobs(service.port, flood, 1, at_once=1)
            for job_id in line.ask(request("GET", "/?state=exited"))["IDs"]:
                line.ask(request("POST", f"/{job_id}/clean"))
            return run * 1e3

        yield measure


SCALES = (
    Scale("submit-by-stored", "stored jobs", "ms a job", (100, 1_000, 10_000, 100_000), _stored),
    Scale("submit-by-running", "running jobs", "ms a job", (1, 10, 100, 1_000), _running),
    Scale("job-by-output", "MiB of output", "ms", (1, 4, 16, 64, 256), _output),
)
