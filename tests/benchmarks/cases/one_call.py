"""One job in one request, one at a time: what somebody waits who has `true` run somewhere else."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, Skipped, at_most
from dockerd import IMAGE
from running import running
from ssh import NoSshd, sshd
from wire import Line, post

from cases.container import daemon_of_own
from cases.submit import ONE_CALL

_CALLS = 20


def _median_ms(call: Callable[[], object]) -> float:
    taken_ms = []
    for _ in range(_CALLS):
        begun_s = time.perf_counter()
        call()
        taken_ms.append((time.perf_counter() - begun_s) * 1000)
    return statistics.median(taken_ms)


@contextmanager
def _beside(
    lab: Lab, name: str, theirs: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Setup]:
    submission = post({"CommandLine": "true"}, ONE_CALL)
    with running(lab.directory / name, workers=1) as service, Line(service.port) as line:

        def run() -> None:
            subprocess.run(theirs, env=environment, stdin=subprocess.DEVNULL, check=True)

        yield Setup(lambda: (_median_ms(lambda: line.ask(submission)),), lambda: (_median_ms(run),))


@contextmanager
def _ssh(lab: Lab) -> Iterator[Setup]:
    try:
        with sshd(lab.directory / "ssh") as ssh:
            argv = [*ssh, "127.0.0.1", "true"]
            with _beside(lab, "one-call-ssh", argv, os.environ) as setup:  # noqa: TID251 - as in a person's shell
                yield setup
    except NoSshd as exc:
        raise Skipped(str(exc)) from exc


@contextmanager
def _exec(lab: Lab) -> Iterator[Setup]:
    with daemon_of_own() as docker:
        variables = {**os.environ, **docker}  # noqa: TID251 - as in a person's shell
        start = ["docker", "run", "--detach", "--network", "none", IMAGE, "sleep", "1000"]
        name = subprocess.check_output(start, env=variables, text=True).strip()
        try:
            argv = ["docker", "exec", name, "true"]
            with _beside(lab, "one-call-exec", argv, variables) as setup:
                yield setup
        finally:
            remove = ["docker", "rm", "--force", name]
            subprocess.run(remove, env=variables, stdout=subprocess.DEVNULL, check=True)


CASES = (
    Case(
        "one-call-ssh",
        "the median time of `true` in one request, one at a time, beside the same by ssh",
        (Row("one-call-ssh", "ms", "ssh localhost true", at_most(0.2)),),
        _ssh,
    ),
    Case(
        "one-call-exec",
        "the same beside `docker exec` of a container that runs",
        (Row("one-call-exec", "ms", "docker exec true", at_most(0.1)),),
        _exec,
    ),
)
