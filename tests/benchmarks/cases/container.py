"""A command in a container from POST until the job is finished, against a bare `docker run` of the same container."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, Skipped, at_most
from dockerd import IMAGE, CannotStart, daemon
from running import running
from wire import run_jobs

# Containers per round: one takes a quarter of a second.
_RUNS = 8


@contextmanager
def opened(lab: Lab) -> Iterator[Setup]:
    try:
        context = daemon()
        dockerd = context.__enter__()
    except CannotStart as exc:
        raise Skipped(str(exc)) from exc
    try:
        with running(lab.directory / "container", environment=dockerd.environment) as service:
            work = lab.directory / "work"
            work.mkdir()
            own = f"{os.getuid()}:{os.getgid()}"
            # What a person types who wants what the service gives: the same limits, mounts and user.
            bare = ["docker", "run", "--rm", "--init", "--network", "none", "--log-driver", "none"]
            bare += [
                "--user",
                own,
                "--mount",
                f"type=bind,src={work},dst=/data",
                "--workdir",
                "/data",
            ]
            bare += [IMAGE, "true"]

            def ours() -> tuple[float]:
                command = {"Kind": "docker", "Image": IMAGE, "CommandLine": "true"}
                return (run_jobs(service.port, {"Commands": [command]}, _RUNS, 1) / _RUNS * 1000,)

            def docker_run() -> tuple[float]:
                started_s = time.monotonic()
                for _ in range(_RUNS):
                    subprocess.run(
                        bare,
                        env={**os.environ, **dockerd.environment},  # noqa: TID251 - the client's own
                        stdin=subprocess.DEVNULL,
                        check=True,
                    )
                return ((time.monotonic() - started_s) / _RUNS * 1000,)

            yield Setup(ours, docker_run)
    finally:
        context.__exit__(None, None, None)


CASES = (
    Case(
        "container",
        "a container's `true` from its POST until the job is finished, and the container gone",
        (Row("container", "ms", "docker run --rm", at_most(1.15)),),
        opened,
    ),
)
