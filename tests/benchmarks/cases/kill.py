"""The kill of a tree of 200 processes, half of them in sessions of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from case import Case, Lab, Row, Setup, Skipped, at_most
from program import answer_of, python
from running import running
from wire import Line, request

TREE = "for _ in {1..100}; do sleep 600 & setsid sleep 600 & done; echo ready; wait"


@contextmanager
def _kill(lab: Lab) -> Iterator[Setup]:
    root = _writable_root()
    with running(lab.directory / "kill", workers=1) as service, Line(service.port) as line:

        def ours() -> tuple[float]:
            job_id = line.submit({"CommandLine": TREE})
            with Line(service.port) as reader:
                reader.open_stream(f"/{job_id}/attach").receive()
            begun = time.perf_counter()
            line.ask(request("DELETE", f"/{job_id}?grace=0&wait=true"))
            return ((time.perf_counter() - begun) * 1e3,)

        yield Setup(ours, lambda: (answer_of(python("kill_tree", root, TREE)) * 1e3,))


def _writable_root() -> Path:
    """Where cgroups of version 2 are. Raises: Skipped."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] == "cgroup2":
            root = Path(left.split()[4])
            probe = root / "jobrunner-bench-probe"
            try:
                probe.mkdir()
                probe.rmdir()
            except OSError as exc:
                raise Skipped(f"{root} can't be written to: {exc.strerror}") from exc
            return root
    raise Skipped("there are no cgroups of version 2")


CASES = (
    Case(
        "kill",
        "a tree of 200 processes, from the DELETE until none is left",
        (Row("kill", "ms", "bare cgroup.kill", at_most(2)),),
        _kill,
    ),
)
