"""A command in a container, against a bare `docker run` of the same: until it is finished, and its output."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from case import Case, Lab, Row, Setup, Skipped, at_most
from dockerd import IMAGE, CannotStart, daemon
from running import running
from wire import BUFFER_BYTES, BadAnswer, Line, run_jobs

# Containers per round: one takes a quarter of a second.
_RUNS = 8


@contextmanager
def daemon_of_own() -> Iterator[dict[str, str]]:
    """What leads a client to a daemon of our own. Raises: Skipped."""
    with ExitStack() as open_:
        try:
            dockerd = open_.enter_context(daemon())
        except CannotStart as exc:
            raise Skipped(str(exc)) from exc
        yield dockerd.environment


@contextmanager
def _run(lab: Lab) -> Iterator[Setup]:
    with (
        daemon_of_own() as docker,
        running(lab.directory / "container", environment=docker, workers=1) as service,
    ):
        work = lab.directory / "work"
        work.mkdir()
        own = f"{os.getuid()}:{os.getgid()}"
        # What a person types who wants what the service gives: the same limits, mounts and user.
        bare = ["docker", "run", "--rm", "--init", "--network", "none", "--log-driver", "none"]
        bare += ["--user", own, "--mount", f"type=bind,src={work},dst=/data", "--workdir", "/data"]
        bare += [IMAGE, "true"]

        def ours() -> tuple[float]:
            command = {"Kind": "docker", "Image": IMAGE, "CommandLine": "true"}
            return (run_jobs(service.port, {"Commands": [command]}, _RUNS, 1) / _RUNS * 1000,)

        def docker_run() -> tuple[float]:
            started_s = time.monotonic()
            for _ in range(_RUNS):
                subprocess.run(bare, env=_client(docker), stdin=subprocess.DEVNULL, check=True)
            return ((time.monotonic() - started_s) / _RUNS * 1000,)

        yield Setup(ours, docker_run)


@contextmanager
def _logs(lab: Lab) -> Iterator[Setup]:
    size_bytes = lab.size_bytes // 32
    flood = f"yes 'what a program says in one line' | head -c {size_bytes}"
    with (
        daemon_of_own() as docker,
        running(lab.directory / "peer-docker-logs", environment=docker, workers=1) as service,
        Line(service.port) as line,
    ):

        def ours() -> tuple[float]:
            started_s = time.monotonic()
            shell = shlex.join(["sh", "-c", flood])
            command = {"Kind": "docker", "Image": IMAGE, "CommandLine": shell}
            job_id = line.submit({"Commands": [command]})
            with Line(service.port) as reader:
                got = reader.open_stream(f"/{job_id}/attach").count()
            return (_rate(got, started_s),)

        def docker_logs() -> tuple[float]:
            started_s = time.monotonic()
            run = ["docker", "run", "--detach", "--network", "none", IMAGE, "sh", "-c", flood]
            name = subprocess.check_output(run, env=_client(docker), text=True).strip()
            follow = ["docker", "logs", "--follow", name]
            with subprocess.Popen(follow, env=_client(docker), stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                got = 0
                while data := process.stdout.read(BUFFER_BYTES):
                    got += len(data)
            rate = _rate(got, started_s)
            remove = ["docker", "rm", "--force", name]
            subprocess.run(remove, env=_client(docker), stdout=subprocess.DEVNULL, check=True)
            return (rate,)

        def _rate(got: int, started_s: float) -> float:
            if got != size_bytes:
                raise BadAnswer(f"{got} bytes came, {size_bytes} were written")
            return size_bytes / (time.monotonic() - started_s) / 1e6

        yield Setup(ours, docker_logs)


def _client(docker: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **docker}  # noqa: TID251 - the client's own


CASES = (
    Case(
        "container",
        "a container's `true` from its POST until the job is finished, and the container gone",
        (Row("container", "ms", "docker run --rm", at_most(1.15)),),
        _run,
    ),
    Case(
        "peer-docker-logs",
        "a thirty-second of --size in lines from a container, started and followed to the end",
        (Row("peer-docker-logs", "MB/s", "docker logs --follow"),),
        _logs,
    ),
)
