"""Parts of a long output: its last lines, and the lines that match."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, at_least, at_most
from running import Service, running
from wire import BadAnswer

_SPARSE_BYTES = 10 << 30
_LINE = b"a line of a log that says nothing of interest, as most of them do\n"
_PATTERN = "ne+dle$"
# At the priority of the processes that search for us.
_AS_OURS = ("nice", "-n", "5", "grep", "-E")


def _sparse_log(service: Service) -> str:
    """A finished job with 10 GB of output, of which the disk has its end only: its log is replaced
    by one that has a record for each 10 MB.
    """
    from service.output.index import LogState, Record

    job_id = service.run("echo x")["ID"]
    directory = service.state_dir / "logs" / job_id
    tail = _LINE * 1000
    with (directory / "output").open("r+b") as output:
        os.ftruncate(output.fileno(), _SPARSE_BYTES - len(tail))
        output.seek(0, os.SEEK_END)
        output.write(tail)
    step = 10 << 20
    records = [Record(n * step, n * step, n, 0, 1) for n in range(_SPARSE_BYTES // step)]
    state = LogState(_SPARSE_BYTES, _SPARSE_BYTES, closed=True, complete=True)
    (directory / "runs").write_bytes(state.pack() + b"".join(each.pack() for each in records))
    return job_id


@contextmanager
def _tail(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "tail", workers=1) as service:
        job_id = _sparse_log(service)

        def ours() -> tuple[float]:
            started_s = time.monotonic()
            answer = service.client.get(f"/{job_id}/output?tail=100")
            elapsed_s = time.monotonic() - started_s
            if answer.content != _LINE * 100:
                raise BadAnswer(f"{len(answer.content)} bytes came")
            return (elapsed_s * 1e3,)

        yield Setup(ours)


@contextmanager
def _grep(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "grep", workers=1) as service:
        count = lab.size_bytes // len(_LINE)
        job_id = service.run(f"yes '{_LINE.decode().strip()}' | head -n {count}; echo needle")["ID"]
        log = service.state_dir / "logs" / job_id / "output"

        def ours() -> tuple[float]:
            started_s = time.monotonic()
            query = {"grep": _PATTERN}
            answer = service.client.get(f"/{job_id}/output", params=query, timeout=600)
            elapsed_s = time.monotonic() - started_s
            if answer.text != "needle\n":
                raise BadAnswer(answer.text[:80])
            return (lab.size_bytes / elapsed_s / 1e6,)

        def bare() -> tuple[float]:
            started_s = time.monotonic()
            subprocess.run([*_AS_OURS, _PATTERN, str(log)], check=True, stdout=subprocess.DEVNULL)
            return (lab.size_bytes / (time.monotonic() - started_s) / 1e6,)

        yield Setup(ours, bare)


CASES = (
    Case(
        "tail",
        "the last 100 lines of 10 GB of output, of which nothing else is read",
        (Row("tail", "ms", goal=at_most(50)),),
        _tail,
    ),
    Case(
        "grep",
        "the line that matches, in --size bytes of lines that don't",
        (Row("grep", "MB/s", "nice grep -E", at_least(0.4)),),
        _grep,
    ),
)
