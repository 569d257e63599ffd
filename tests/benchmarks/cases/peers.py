"""Tools that do part of the same work today, on the same box: how much dearer, or cheaper, this is."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from xmlrpc.client import ServerProxy

from case import Case, Lab, Row, Setup, Skipped, at_least
from program import python
from running import free_port, running
from wire import BUFFER_BYTES, BadAnswer, Line, connected, request, run_jobs

from cases.latency import latencies_us
from cases.submit import ONE_CALL

_MB = 1e6
# Source: RFC 6455, section 5.2: bytes of a frame's head by what its second byte says.
_LONG, _LONGER = 126, 127
# Lines and seconds between two of them. supervisord looks at a log that is followed once a second.
_LINES, _INTERVAL_S = 2000, 0.001
# Lines that may be missing at the end: those that come after its last look.
_SLACK = 1000


def _found(program: str, package: str) -> str:
    """Raises: Skipped."""
    path = shutil.which(program)
    if path is None:
        raise Skipped(f"{program} is not installed (Debian's package {package})")
    return path


@contextmanager
def _task_spooler(lab: Lab, at_once: int, query: str) -> Iterator[Setup]:
    tsp = _found("tsp", "task-spooler")
    jobs = min(lab.jobs, 200)
    directory = lab.directory / f"tsp-{at_once}"
    directory.mkdir()
    own = {"TS_SOCKET": str(directory / "socket"), "TMPDIR": str(directory)}
    environment = {**os.environ, **own}  # noqa: TID251 - what its users give it
    body = {"CommandLine": "true"}

    def called(*arguments: str) -> None:
        command = [tsp, *arguments]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

    def spooled(_number: int) -> None:
        called("bash", "-c", "true")
        called("-w")

    def all_spooled() -> tuple[float]:
        called("-S", str(at_once))
        begun = time.monotonic()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(spooled, range(jobs)))
        return (jobs / (time.monotonic() - begun),)

    with running(lab.directory / f"peer-tsp-{at_once}", workers=1) as service:
        try:
            yield Setup(
                lambda: (jobs / run_jobs(service.port, body, jobs, at_once, query),),
                all_spooled,
            )
        finally:
            subprocess.run([tsp, "-K"], env=environment, check=False)


@contextmanager
def _websocketd(lab: Lab) -> Iterator[Setup]:
    program = _found("websocketd", "websocketd")
    port = free_port()
    flood = f"head -c {lab.size_bytes} /dev/zero"
    argv = [program, f"--port={port}", "--address=127.0.0.1", "--binary", "--loglevel=error"]
    with (
        running(lab.directory / "peer-websocketd", workers=1) as service,
        subprocess.Popen([*argv, "bash", "-c", flood], stdout=subprocess.DEVNULL) as process,
        Line(service.port) as line,
    ):

        def ours() -> tuple[float]:
            begun = time.monotonic()
            job_id = line.submit({"CommandLine": flood})
            with Line(service.port) as reader:
                got = reader.open_stream(f"/{job_id}/attach").count()
            elapsed_s = time.monotonic() - begun
            if got != lab.size_bytes:
                raise BadAnswer(f"{got} bytes came, {lab.size_bytes} were written")
            line.ask(request("POST", f"/{job_id}/clean"))
            return (lab.size_bytes / elapsed_s / _MB,)

        def theirs() -> tuple[float]:
            begun = time.monotonic()
            got = _websocket_bytes(port)
            if got != lab.size_bytes:
                raise BadAnswer(f"websocketd: {got} bytes came, {lab.size_bytes} were written")
            return (lab.size_bytes / (time.monotonic() - begun) / _MB,)

        try:
            yield Setup(ours, theirs)
        finally:
            process.kill()


def _websocket_bytes(port: int) -> int:
    """How many bytes of messages come until the other side closes."""
    with connected(port) as peer, peer.makefile("rb", BUFFER_BYTES) as stream:
        peer.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        while stream.readline() not in (b"\r\n", b""):
            pass
        total = 0
        while (head := stream.read(2)) and head[0] & 0x0F in (0, 1, 2):
            size = head[1]
            if size in (_LONG, _LONGER):
                size = int.from_bytes(stream.read(2 if size == _LONG else 8), "big")
            total += len(stream.read(size))
        return total


@contextmanager
def _supervisord(lab: Lab) -> Iterator[Setup]:
    program = _found("supervisord", "supervisor")
    port, directory = free_port(), lab.directory / "supervisord"
    directory.mkdir()
    command = shlex.join(python("stamps", _LINES + _SLACK, _INTERVAL_S))
    file = directory / "supervisord.conf"
    file.write_text(
        f"[supervisord]\nlogfile={directory}/log\npidfile={directory}/pid\n"
        f"childlogdir={directory}\n"
        f"[inet_http_server]\nport=127.0.0.1:{port}\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[program:stamps]\ncommand={command}\nautostart=false\nautorestart=false\nstartsecs=0\n"
    )
    with (
        running(lab.directory / "peer-supervisord", workers=1) as service,
        subprocess.Popen(
            [program, "--nodaemon", "--configuration", str(file)], stdout=subprocess.DEVNULL
        ) as process,
    ):

        def ours() -> tuple[float]:
            with Line(service.port) as line:
                job_id = line.submit({"CommandLine": f"exec {command}"})
                stream = line.open_stream(f"/{job_id}/attach")
                return latencies_us(stream.receive, _LINES)[:1]

        def theirs() -> tuple[float]:
            with ServerProxy(f"http://127.0.0.1:{port}/RPC2") as proxy, Line(port) as line:
                proxy.supervisor.clearProcessLogs("stamps")
                wait = False
                stream = line.open_stream("/logtail/stamps/stdout")
                proxy.supervisor.startProcess("stamps", wait)
                median_us = latencies_us(stream.receive, _LINES)[0]
                proxy.supervisor.stopProcess("stamps")
                return (median_us,)

        try:
            connected(port).close()
            yield Setup(ours, theirs)
        finally:
            process.terminate()


CASES = (
    Case(
        "peer-tsp",
        "jobs per second, one at a time, against task-spooler",
        (Row("peer-tsp", "/s", "task-spooler"),),
        partial(_task_spooler, at_once=1, query=""),
    ),
    Case(
        "peer-tsp-4",
        "the same, four at a time, each in one request",
        (Row("peer-tsp-4", "/s", "task-spooler", at_least(1.2)),),
        partial(_task_spooler, at_once=4, query=ONE_CALL),
    ),
    Case(
        "peer-websocketd",
        "a flood of --size bytes to one reader, against websocketd, which stores nothing",
        (Row("peer-websocketd", "MB/s", "websocketd"),),
        _websocketd,
    ),
    Case(
        "peer-supervisord",
        "the median time from a write in the job to the client, against supervisord's log tail",
        (Row("peer-supervisord", "µs", "supervisord's log tail"),),
        _supervisord,
    ),
)
