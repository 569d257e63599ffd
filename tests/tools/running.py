"""The real service on a real port, for tests and benchmarks.

Its processes are ended by the pids that were started here, whatever a test did to them.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from secrecy import CANARY, Secrets
from watching import Watched, in_session

# Seconds: fuses, not waits. A start takes about one second, with forty others beside it a minute.
START_FUSE_S = 300.0
STOP_FUSE_S = 300.0

# For a service whose workers reload at `POST /restart-all`.
RELOADABLE: dict[str, Any] = {
    "command": ("-m", "sanic", "reloadable:make", "--factory"),
    "environment": {"PYTHONPATH": str(Path(__file__).with_name("apps"))},
}

# structlog and Sanic import these when they are installed, which they are for the tests alone: a
# sixth of a start. A service has them here as little as where it is deployed.
AS_DEPLOYED = str(Path(__file__).with_name("as_deployed"))

_READY = re.compile(r"worker_ready")


def _also_imported_from() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: TID251 - what a person's shell would pass


# Beneath those that the kernel gives to clients, one of which could else take a port before the service does. Source:
# ip(7), ip_local_port_range. Each process has a block of its own: what one has chosen and not bound yet, no other
# chooses, of this test session or of another.
_PORTS_OF_A_BLOCK = 100
_blocks = range(10_000, 32_000, _PORTS_OF_A_BLOCK)
_next_ports = itertools.cycle(range(_PORTS_OF_A_BLOCK))


def _own_block() -> tuple[int, socket.socket]:
    """The first port of a block, and what keeps it for as long as this process lives."""
    keeper = socket.socket(socket.AF_UNIX)
    for number in range(len(_blocks)):
        block = _blocks[(os.getpid() + number) % len(_blocks)]
        with suppress(OSError):  # another process has it
            keeper.bind(f"\0jobrunner-tests-ports-{block}")
            return block, keeper
    raise AssertionError("as many processes as there are blocks of ports run tests")


# When this is imported: a test that asked first would be taken for one that leaves it open.
_block, _keeper = _own_block()


def free_port() -> int:
    """A port that nobody has, nor gets before a hundred others were asked for here."""
    while True:
        port = _block + next(_next_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Service:
    """One running service. `lines` is all it logged so far.

    Without a number of workers it is one process: half the time of a start. A test that is about
    workers, about the process that starts them, or about what several do at once says how many.
    """

    def __init__(
        self,
        state_dir: Path,
        *arguments: str,
        port: int | None = None,
        environment: dict[str, str] | None = None,
        workers: int | None = None,
        command: tuple[str, ...] = ("-m", "sanic", "service.app"),
    ) -> None:
        self.state_dir = state_dir
        self.options = (
            arguments,
            {"environment": environment, "workers": workers, "command": command},
        )
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        flags = list(arguments)
        if not {"--single-process", "--fast", "--dev", "--workers"} & set(flags):
            flags += ["--single-process"] if workers is None else ["--workers", str(workers)]
        self._workers = workers or 1
        self._changed = threading.Condition()
        self._ended = False
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBRUNNER_")}  # noqa: TID251 - what a person's shell would pass
        self.process = subprocess.Popen(
            [sys.executable, *command, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=state_dir.parent,
            start_new_session=True,  # Sanic signals whole process groups
            env={
                **inherited,
                **CANARY,
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": os.pathsep.join((AS_DEPLOYED, *_also_imported_from())),
                "JOBRUNNER_STATE_DIR": str(state_dir),
                "JOBRUNNER_PORT": str(self.port),
                "JOBRUNNER_ALLOW_ROOT_JOBS": "1",  # many tests have tokens, and run as root in CI
                **(environment or {}),
            },
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.secrets = Secrets()
        self.client = httpx.Client(
            base_url=self.url,
            timeout=300,
            verify=False,  # noqa: S501 - it is plain HTTP, and loading certificates takes long
            event_hooks={"request": [self.secrets.remember]},
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_line(self, pattern: str, count: int = 1, fuse_s: float = START_FUSE_S) -> str:
        """The `count`th line that matches, once it is there."""
        regex = re.compile(pattern)
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [line for line in self.lines if regex.search(line)]
            return len(found) >= count or self._ended

        with self._changed:
            self._changed.wait_for(is_there, fuse_s)
        if len(found) < count:
            raise AssertionError(f"no {count}th line {pattern!r} in:\n" + "\n".join(self.lines))
        return found[count - 1]

    def wait_ready(self) -> Service:
        """Ready to serve, and to be signalled: a Sanic main process that is signalled while it
        starts its workers can hang, so its own word for it is waited for."""
        self.wait_for_line(_READY.pattern, self._workers)
        assert self.client.get("/health/ready").status_code == 200
        return self

    def submit(self, job: dict[str, Any] | str, **headers: str) -> str:
        body = {"CommandLine": job} if isinstance(job, str) else job
        answer = self.client.post("/", json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        job_id: str = answer.json()["ID"]
        return job_id

    def show(self, job_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/{job_id}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    def wait(self, job_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/{job_id}/wait")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    def run(self, job: dict[str, Any] | str) -> dict[str, Any]:
        return self.wait(self.submit(job))

    def output(self, job_id: str, **parameters: Any) -> bytes:
        answer = self.client.get(f"/{job_id}/attach", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.content

    def kill(self, job_id: str, **parameters: Any) -> dict[str, Any]:
        answer = self.client.delete(f"/{job_id}", params=parameters)
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    def supervisor_pid(self) -> int:
        """As its lock file says."""
        return int((self.state_dir / "supervisor.lock").read_text().split()[1])

    def worker_pids(self) -> list[int]:
        """Every worker that was ever ready, oldest first."""
        ready = [re.search(r"worker_ready\W+pid\W+(\d+)", line) for line in self.lines]
        return [int(found[1]) for found in ready if found]

    def crash(self) -> None:
        """Kill -9 all of it but the supervisor, and wait until no process of it is left."""
        with Watched(in_session(self.process.pid), some_ended=True) as processes:
            os.killpg(self.process.pid, signal.SIGKILL)
            processes.wait_gone()
        self.stop()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the main process and wait for its end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(STOP_FUSE_S)
        self._reader.join(STOP_FUSE_S)
        return status

    def close(self) -> None:
        """End whatever is left of it, the hard way if need be."""
        self.client.close()
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout is not None:
            self._reader.join(STOP_FUSE_S)
            self.process.stdout.close()
        _end_supervisor(self.state_dir)


def _end_supervisor(state_dir: Path) -> None:
    """One that a test left running (kill -9 of the service, `leave`) ends with its jobs."""
    try:
        _, pid = (state_dir / "supervisor.lock").read_text().split()
        descriptor = os.pidfd_open(int(pid))
    except (OSError, ValueError):
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"service.supervisor" in command and os.fsencode(state_dir) in command:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)

            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            if not poller.poll(STOP_FUSE_S * 1000):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return
    finally:
        os.close(descriptor)


@contextmanager
def running(state_dir: Path, *arguments: str, **options: Any) -> Iterator[Service]:
    """A service that is ready, and ended afterwards; it has kept its secrets."""
    service = Service(state_dir, *arguments, **options)
    try:
        yield service.wait_ready()
    finally:
        service.close()
    if state_dir.is_dir():
        service.secrets.assert_kept(state_dir, service.lines)


@contextmanager
def again(service: Service) -> Iterator[Service]:
    """Another one like `service`, which has ended, in the same directory and on the same port."""
    arguments, options = service.options
    with running(service.state_dir, *arguments, port=service.port, **options) as successor:
        yield successor
