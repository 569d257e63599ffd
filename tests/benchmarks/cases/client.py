"""The Python client beside curl, on the output of the same finished job."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from case import Case, Lab, Row, Setup, Skipped, at_least
from program import answer_of, seconds_of_bash
from running import running

_PROGRAM = Path(__file__).parents[1] / "programs" / "client_reader.py"
_MB = 1e6


@contextmanager
def _stream(lab: Lab) -> Iterator[Setup]:
    if shutil.which("curl") is None:
        raise Skipped("curl is not installed")
    with running(lab.directory / "client", workers=1) as service:
        job_id = service.run(f"head -c {lab.size_bytes} /dev/zero")["ID"]
        argv = [sys.executable, str(_PROGRAM), service.url, job_id, str(lab.size_bytes)]
        curl = f"curl -sS -o /dev/null {service.url}/{job_id}/attach"

        def rate(elapsed_s: float) -> tuple[float]:
            return (lab.size_bytes / elapsed_s / _MB,)

        yield Setup(lambda: rate(answer_of(argv)), lambda: rate(seconds_of_bash(curl)))


CASES = (
    Case(
        "client",
        "the output of a finished job of --size bytes, by `job.stream()` of the Python client",
        (Row("client", "MB/s", "curl", at_least(0.5)),),
        _stream,
    ),
)
