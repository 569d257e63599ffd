"""A file of a job as a download, and the processor time of what sends output."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from case import Case, Lab, Row, Setup, Skipped, at_least, at_most
from processes import cpu_s
from program import python
from running import free_port, running
from wire import BadAnswer, Line, connected, request

_MB = 1e6
_GIB = 1 << 30
_NGINX = """
daemon off; master_process off; worker_processes 1; pid {directory}/pid; error_log {directory}/log;
events {{}}
http {{
    access_log off; sendfile on; tcp_nopush on; client_body_temp_path {directory}/body;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextmanager
def _nginx(directory: Path, root: Path) -> Iterator[int]:
    """What it serves files of `root` at: a port. Raises: Skipped."""
    program = shutil.which("nginx", path=f"{os.defpath}:/usr/sbin")
    if program is None:
        raise Skipped("nginx is not installed")
    directory.mkdir()
    port, config = free_port(), directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, port=port, root=root))
    with subprocess.Popen([program, "-p", str(directory), "-c", str(config)]) as process:
        try:
            connected(port).close()
            yield port
        finally:
            process.terminate()


@contextmanager
def _file(lab: Lab) -> Iterator[Setup]:
    root = lab.directory / "root"
    root.mkdir(mode=0o755)
    for above in (lab.directory.parent, lab.directory, root):
        above.chmod(0o755)  # nginx, when root starts it, reads as another user
    with (
        running(lab.directory / "download", workers=1) as service,
        Line(service.port) as line,
        _nginx(lab.directory / "nginx", root) as port,
        Line(port) as theirs,
    ):
        job_id = line.submit({"CommandLine": f"head -c {lab.size_bytes} /dev/zero > file"})
        view = line.ask(request("GET", f"/{job_id}/wait"))
        (root / "file").hardlink_to(Path(view["WorkingDir"]) / "file")
        (root / "file").chmod(0o644)

        def rate(connection: Line, path: str) -> tuple[float]:
            begun_s = time.monotonic()
            if (got := connection.open_stream(path).count()) != lab.size_bytes:
                raise BadAnswer(f"{got} bytes came, {lab.size_bytes} were written")
            return (lab.size_bytes / (time.monotonic() - begun_s) / _MB,)

        yield Setup(lambda: rate(line, f"/{job_id}/files/file"), lambda: rate(theirs, "/file"))


@contextmanager
def _sending(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "sending", workers=1) as service, Line(service.port) as line:
        job_id = line.submit({"CommandLine": f"head -c {lab.size_bytes} /dev/zero"})
        line.ask(request("GET", f"/{job_id}/wait"))
        copy = lab.directory / "sent"
        with copy.open("wb") as file:
            subprocess.run(
                ["head", "-c", str(lab.size_bytes), "/dev/zero"], stdout=file, check=True
            )

        def seconds(pid: int, connection: Line, path: str) -> tuple[float]:
            before = cpu_s([pid])
            if (got := connection.open_stream(path).count()) != lab.size_bytes:
                raise BadAnswer(f"{got} bytes came, {lab.size_bytes} were written")
            return ((cpu_s([pid]) - before) / lab.size_bytes * _GIB,)

        argv = python("sender", copy)
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as sender:
            try:
                assert sender.stdout is not None
                with Line(int(sender.stdout.readline())) as theirs:
                    (worker,) = service.worker_pids()
                    yield Setup(
                        lambda: seconds(worker, line, f"/{job_id}/output"),
                        lambda: seconds(sender.pid, theirs, "/"),
                    )
            finally:
                sender.terminate()


CASES = (
    Case(
        "download",
        "a file of --size bytes of a finished job, to one reader",
        (Row("download", "MB/s", "nginx with sendfile", at_least(0.9)),),
        _file,
    ),
    Case(
        "sending",
        "processor time of the worker for a GiB of output that it sends",
        (Row("sending", "s", "pread and send", at_most(0.5)),),
        _sending,
    ),
)
