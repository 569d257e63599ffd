"""A job that writes at full speed for minutes: what it leaves in memory, its index, and how soon any byte is there."""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, at_most
from memory import private_kb
from processes import of_service
from running import Service, running
from wire import Line, request

_MB = 1e6
# Times --size: ten gigabytes, as the size is one.
_SIZES = 10
_LOOKS = 50
_PAUSE_S = 0.5
_BLOCK = 512


@contextmanager
def _opened(lab: Lab) -> Iterator[Setup]:
    numbers = itertools.count()
    size_bytes = _SIZES * lab.size_bytes
    line_of_text = (
        "a line as a program writes it, of seventy-nine characters and a newline after it"
    )
    flood = f"yes '{line_of_text}' | head -c {size_bytes}"

    def measure() -> tuple[float, ...]:
        directory = lab.directory / f"long-{next(numbers)}"
        with running(directory, workers=1) as service, Line(service.port) as line:
            before_kb = _private_kb(service)
            job_id = line.submit({"CommandLine": flood})
            most_kb = before_kb
            while line.ask(request("GET", f"/{job_id}"))["State"] != "exited":
                most_kb = max(most_kb, _private_kb(service))
                threading.Event().wait(_PAUSE_S)
            logs = directory / "logs" / job_id
            others = sum(f.stat().st_blocks * _BLOCK for f in logs.iterdir() if f.name != "output")
            taken_s = [_first_byte_s(service, job_id, size_bytes) for _ in range(_LOOKS)]
            line.ask(request("POST", f"/{job_id}/clean"))
        grown = (most_kb - before_kb) * 1024 / _MB
        return grown, others / size_bytes * 100, statistics.median(taken_s) * 1e3

    yield Setup(measure, warm_up=False)


def _private_kb(service: Service) -> int:
    return sum(map(private_kb, of_service(service)))


def _first_byte_s(service: Service, job_id: str, size_bytes: int) -> float:
    offset = random.randrange(size_bytes)
    with Line(service.port) as reader:
        begun_s = time.perf_counter()
        reader.open_stream(f"/{job_id}/attach?offset={offset}").receive()
        return time.perf_counter() - begun_s


CASES = (
    Case(
        "long",
        "a job that writes ten times --size at full speed: memory meanwhile, what lies beside its"
        " output, and the first byte from anywhere",
        (
            Row("long: memory", "MB", goal=at_most(20)),
            Row("long: index", "% of the output", goal=at_most(0.1)),
            Row("long: attach", "ms", goal=at_most(5)),
        ),
        _opened,
    ),
)
