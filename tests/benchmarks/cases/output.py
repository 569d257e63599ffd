"""A flood of output to one reader: followed while it is written, and replayed afterwards."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from case import Case, Lab, Row, Setup, at_least
from program import python, seconds_of_bash
from running import running
from wire import BadAnswer, Line, request

_MB = 1e6


def _flood(lab: Lab) -> str:
    return f"head -c {lab.size_bytes} /dev/zero"


def _read(line: Line, job_id: str, expected_bytes: int, path: str = "attach") -> None:
    got = line.open_stream(f"/{job_id}/{path}").count()
    if got != expected_bytes:
        raise BadAnswer(f"{got} bytes came, {expected_bytes} were written")


def _clean(line: Line, job_id: str) -> None:
    line.ask(request("POST", f"/{job_id}/clean"))


@contextmanager
def _live(lab: Lab) -> Iterator[Setup]:
    copy = lab.directory / "copy"
    with running(lab.directory / "attach", workers=1) as service:

        def ours() -> tuple[float]:
            with Line(service.port) as line:
                started_s = time.monotonic()
                job_id = line.submit({"CommandLine": _flood(lab)})
                _read(line, job_id, lab.size_bytes)
                elapsed_s = time.monotonic() - started_s
                _clean(line, job_id)
            return (lab.size_bytes / elapsed_s / _MB,)

        def bare() -> tuple[float]:
            elapsed_s = _seconds_to_file(_flood(lab), copy)
            return (lab.size_bytes / elapsed_s / _MB,)

        yield Setup(ours, bare)


def _seconds_to_file(flood: str, copy: Path) -> float:
    try:
        return seconds_of_bash(f"{flood} | cat > '{copy}'")
    finally:
        copy.unlink()


@contextmanager
def _finished(lab: Lab, path: str) -> Iterator[Setup]:
    with running(lab.directory / path, workers=1) as service, Line(service.port) as line:
        job_id = line.submit({"CommandLine": _flood(lab)})
        line.ask(request("GET", f"/{job_id}/wait"))

        def ours() -> tuple[float]:
            started_s = time.monotonic()
            _read(line, job_id, lab.size_bytes, path)
            return (lab.size_bytes / (time.monotonic() - started_s) / _MB,)

        def bare() -> tuple[float]:
            elapsed_s = seconds_of_bash(f"{_flood(lab)} | cat > /dev/null")
            return (lab.size_bytes / elapsed_s / _MB,)

        yield Setup(ours, bare)


@contextmanager
def _replay_to_four(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "replay-4", workers=1) as service, Line(service.port) as line:
        job_id = line.submit({"CommandLine": _flood(lab)})
        line.ask(request("GET", f"/{job_id}/wait"))
        argv = python("reader", service.port, f"/{job_id}/attach")

        def read(readers: int) -> tuple[float]:
            started_s = time.monotonic()
            processes = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(readers)]
            for process in processes:
                got = int(process.communicate()[0])
                if got != lab.size_bytes:
                    raise BadAnswer(f"{got} bytes came, {lab.size_bytes} were written")
            return (readers * lab.size_bytes / (time.monotonic() - started_s) / _MB,)

        yield Setup(lambda: read(4), lambda: read(1))


CASES = (
    Case(
        "attach",
        "a flood of --size bytes, from the POST until its live reader has the last byte",
        (Row("attach", "MB/s", "head | cat > file", at_least(0.75)),),
        _live,
    ),
    Case(
        "replay",
        "the output of a finished job of --size bytes, to one reader",
        (Row("replay", "MB/s", "head | cat > /dev/null", at_least(1.2)),),
        partial(_finished, path="attach"),
    ),
    Case(
        "output",
        "the same as a download, with its length",
        (Row("output", "MB/s", "head | cat > /dev/null", at_least(1.2)),),
        partial(_finished, path="output"),
    ),
    Case(
        "replay-4",
        "the same to four readers at once, all together",
        (Row("replay-4", "MB/s", "one reader", at_least(1.0)),),
        _replay_to_four,
    ),
)
