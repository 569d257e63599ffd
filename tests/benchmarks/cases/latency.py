"""From a write in a job to its client, against a reader of a bare pipe; a line a millisecond."""

from __future__ import annotations

import re
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, at_most
from program import python
from running import running
from wire import BadAnswer, Line

_INTERVAL_S = 0.001
# Lines before the reader has surely attached and the caches are warm.
_DROPPED = 200
_STAMP = re.compile(rb"(\d{20})\n")


def latencies_us(
    read: Callable[[], bytes], lines: int, *, dropped: int = _DROPPED
) -> tuple[float, float]:
    """p50 and p99 of the time that each line was under way, but for the first ones. Frames between
    lines don't match.
    """
    delays_us: list[float] = []
    rest = b""
    while len(delays_us) < lines:
        data = read()
        now_ns = time.monotonic_ns()
        if not data:
            raise BadAnswer(f"it ended after {len(delays_us)} of {lines} lines")
        rest += data
        at = 0
        for match in _STAMP.finditer(rest):
            delays_us.append((now_ns - int(match[1])) / 1000)
            at = match.end()
        rest = rest[at:]
    cuts = statistics.quantiles(delays_us[dropped:], n=100)
    return cuts[49], cuts[98]


@contextmanager
def _latency(lab: Lab) -> Iterator[Setup]:
    lines = lab.lines + _DROPPED
    argv = python("stamps", lines, _INTERVAL_S)
    with running(lab.directory / "latency", workers=1) as service:

        def ours() -> tuple[float, float]:
            with Line(service.port) as line:
                job_id = line.submit({"CommandLine": f"exec {shlex.join(argv)}"})
                stream = line.open_stream(f"/{job_id}/attach")
                return latencies_us(stream.receive, lines)

        def bare() -> tuple[float, float]:
            with subprocess.Popen(argv, stdout=subprocess.PIPE, bufsize=0) as process:
                assert process.stdout is not None
                pipe = process.stdout
                return latencies_us(lambda: pipe.read(65536), lines)

        yield Setup(ours, bare)


CASES = (
    Case(
        "latency",
        "microseconds from a write in the job to the client, --lines lines, one per millisecond",
        (
            Row("latency-p50", "µs", "bare pipe", at_most(18)),
            Row("latency-p99", "µs", "bare pipe", at_most(8)),
        ),
        _latency,
    ),
)
