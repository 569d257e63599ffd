"""`jobrunner` as it is typed: beside an interpreter that does nothing, ssh and `docker exec`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from case import Case, Lab, Row, Setup, Skipped, at_most
from dockerd import IMAGE
from running import running
from ssh import NoSshd, sshd

from cases.container import daemon_of_own

# Calls in a round.
_CALLS = 5
_JOBS = 50
# As the script that an installation makes for the command starts it.
_OURS = [sys.executable, "-P", "-m", "service"]


def _ours(url: str) -> dict[str, str]:
    return {**os.environ, "JOBRUNNER_URL": url}  # noqa: TID251 - as in a person's shell


def _cpu_ms(argv: Sequence[str], environment: Mapping[str, str]) -> float:
    """Processor time of a call, its children's too."""
    total_s = 0.0
    for _ in range(_CALLS):
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        total_s += used.ru_utime + used.ru_stime
    return total_s / _CALLS * 1000


def _wall_ms(argv: Sequence[str], environment: Mapping[str, str]) -> float:
    started_s = time.monotonic()
    for _ in range(_CALLS):
        subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, check=True)
    return (time.monotonic() - started_s) / _CALLS * 1000


@contextmanager
def _ps(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "ps", workers=1) as service:
        for number in range(_JOBS):
            service.submit({"CommandLine": "sleep 1000", "Name": f"job-{number}"})
        variables = _ours(service.url)
        yield Setup(
            lambda: (_cpu_ms([*_OURS, "ps"], variables),),
            lambda: (_cpu_ms([sys.executable, "-P", "-c", "pass"], variables),),
        )


@contextmanager
def _run(lab: Lab) -> Iterator[Setup]:
    with ExitStack() as stack:
        try:
            ssh = stack.enter_context(sshd(lab.directory / "ssh"))
        except NoSshd as exc:
            raise Skipped(str(exc)) from exc
        service = stack.enter_context(running(lab.directory / "run", workers=1))
        variables = _ours(service.url)
        yield Setup(
            lambda: (_wall_ms([*_OURS, "run", "--", "true"], variables),),
            lambda: (_wall_ms([*ssh, "127.0.0.1", "true"], variables),),
        )


@contextmanager
def _exec(lab: Lab) -> Iterator[Setup]:
    with (
        daemon_of_own() as docker,
        running(lab.directory / "exec", workers=1) as service,
    ):
        variables = {**_ours(service.url), **docker}
        start = ["docker", "run", "--detach", "--network", "none", IMAGE, "sleep", "1000"]
        name = subprocess.check_output(start, env=variables, text=True).strip()
        try:
            yield Setup(
                lambda: (_wall_ms([*_OURS, "run", "--", "true"], variables),),
                lambda: (_wall_ms(["docker", "exec", name, "true"], variables),),
            )
        finally:
            remove = ["docker", "rm", "--force", name]
            subprocess.run(remove, env=variables, stdout=subprocess.DEVNULL, check=True)


CASES = (
    Case(
        "ps",
        f"processor time of `jobrunner ps` with {_JOBS} jobs, beyond that of an empty program",
        (Row("ps", "ms", "python -c pass", at_most(150), takes="difference"),),
        _ps,
    ),
    Case(
        "run-ssh",
        "`jobrunner run -- true` from its start to its exit, beside the same by ssh",
        (Row("run-ssh", "ms", "ssh localhost true"),),
        _run,
    ),
    Case(
        "run-exec",
        "the same beside `docker exec` of a container that runs",
        (Row("run-exec", "ms", "docker exec"),),
        _exec,
    ),
)
