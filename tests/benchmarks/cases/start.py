"""From the command line to the first answer, against a Sanic app that does nothing."""

from __future__ import annotations

import compileall
import importlib.util
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from case import Case, Lab, Row, Setup, at_most
from running import Service, free_port
from wire import request

_PROGRAMS = Path(__file__).parents[1] / "programs"
_FUSE_S = 60.0


def _first_answer_s(port: int, begun: float) -> float:
    """Ask again until somebody answers; the seconds since `begun`."""
    while time.perf_counter() - begun < _FUSE_S:
        try:
            with socket.create_connection(("127.0.0.1", port), _FUSE_S) as peer:
                peer.sendall(request("GET", "/"))
                if peer.recv(100).startswith(b"HTTP/1.1 200"):
                    return time.perf_counter() - begun
        except OSError:
            continue  # nobody listens yet
    raise TimeoutError(f"nothing answered on {port}")


def _compile_service() -> None:
    """As pip does with what it installs, and has done with Sanic: a work tree has no byte code
    where Python may write none (PYTHONDONTWRITEBYTECODE), and each process would compile it anew.
    """
    package = importlib.util.find_spec("service")
    assert package is not None
    for directory in package.submodule_search_locations or ():
        compileall.compile_dir(directory, quiet=2)


@contextmanager
def _start(lab: Lab) -> Iterator[Setup]:
    numbers = itertools.count()
    _compile_service()

    def ours() -> tuple[float]:
        directory = lab.directory / f"start-{next(numbers)}"
        begun = time.perf_counter()
        service = Service(directory, workers=1)
        try:
            return (_first_answer_s(service.port, begun),)
        finally:
            service.wait_ready()
            service.close()

    def bare() -> tuple[float]:
        port = free_port()
        argv = [sys.executable, "-m", "sanic", "empty:app", "--port", str(port), "--workers", "1"]
        begun = time.perf_counter()
        with subprocess.Popen(
            argv,
            cwd=_PROGRAMS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return (_first_answer_s(port, begun),)
            finally:
                os.killpg(
                    process.pid, signal.SIGKILL
                )  # one that is told to end while it starts may hang

    yield Setup(ours, bare)


CASES = (
    Case(
        "start",
        "from the command line to the first answer, in an empty state directory",
        (Row("start", "s", "empty Sanic app", at_most(1.5)),),
        _start,
    ),
)
