"""The script that people would write: it runs what is posted, and keeps nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from case import Case, Lab, Row, Setup, at_least
from running import free_port, running
from wire import connected, run_jobs

from cases.submit import ONE_CALL

_SCRIPT = Path(__file__).parents[1] / "programs" / "script.py"
_BODY = {"CommandLine": "true"}
_AT_ONCE = 4


@contextmanager
def _script(*, uvloop: bool) -> Iterator[int]:
    """It runs on one of the loops; its port."""
    port = free_port()
    environment = {**os.environ, "SANIC_USE_UVLOOP": str(uvloop)}  # noqa: TID251 - as a person starts it
    command = [sys.executable, str(_SCRIPT), str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            connected(port).close()
            yield port
        finally:
            process.terminate()


@contextmanager
def _opened(lab: Lab) -> Iterator[Setup]:
    with ExitStack() as stack:
        service = stack.enter_context(running(lab.directory / "script", workers=1))
        scripts = [stack.enter_context(_script(uvloop=uvloop)) for uvloop in (True, False)]

        def rate(port: int) -> float:
            return lab.jobs / run_jobs(port, _BODY, lab.jobs, _AT_ONCE, ONE_CALL)

        yield Setup(lambda: (rate(service.port),), lambda: (max(map(rate, scripts)),))


CASES = (
    Case(
        "script",
        "jobs per second, 4 at a time, each in one request, against a script that stores nothing",
        (Row("script", "/s", "script, the faster of uvloop and asyncio", at_least(1)),),
        _opened,
    ),
)
