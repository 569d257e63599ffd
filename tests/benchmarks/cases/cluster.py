"""A command on a cluster, against a bare `srun` of the same, until it is finished.

The bare one doesn't say how the step ended: that is asked of the controller afterwards, by a program
of Slurm's that takes as long to start as all else that the service adds.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from case import Case, Lab, Row, Setup, Skipped, at_most
from running import running
from slurm import CannotStart, Cluster, cluster
from wire import run_jobs

# Steps per round: one takes a tenth of a second.
_RUNS = 10


@contextmanager
def cluster_of_own() -> Iterator[Cluster]:
    """Raises: Skipped."""
    with ExitStack() as open_:
        try:
            yield open_.enter_context(cluster())
        except CannotStart as exc:
            raise Skipped(str(exc)) from exc


@contextmanager
def _run(lab: Lab) -> Iterator[Setup]:
    with (
        cluster_of_own() as own,
        running(lab.directory / "slurm", environment=own.environment, workers=1) as service,
    ):
        # What a person types who wants the same: output as it comes, and none of srun's.
        bare = ["srun", "-QQ", "--unbuffered", "--input=none", "bash", "-c", "true"]
        client = {**os.environ, **own.environment}  # noqa: TID251 - what a person's shell would pass

        def ours() -> tuple[float]:
            command = {"Kind": "slurm", "CommandLine": "true"}
            return (run_jobs(service.port, {"Commands": [command]}, _RUNS, 1) / _RUNS * 1000,)

        def srun() -> tuple[float]:
            started_s = time.monotonic()
            for _ in range(_RUNS):
                subprocess.run(bare, env=client, stdin=subprocess.DEVNULL, check=True)
            return ((time.monotonic() - started_s) / _RUNS * 1000,)

        yield Setup(ours, srun)


CASES = (
    Case(
        "slurm",
        "a step's `true` on a cluster from its POST until the job is finished, with the controller's word for its end",
        (Row("slurm", "ms", "srun", at_most(1.15)),),
        _run,
    ),
)
