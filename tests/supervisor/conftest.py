"""Real supervisors, a bare client for them, and pipes with names that jobs are ruled by."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fifos
import pytest
from waiting import until

from service.link.frames import Frames, encode
from service.link.protocol import PROTOCOL

_NUMBERS = itertools.count()

FUSE_S = 300
"""A test that hangs fails after this time; none waits for it."""


def is_readable(descriptor: int, fuse_s: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(fuse_s * 1000))


class Fifo(fifos.Fifo):
    """One that jobs write to as well, a line each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rest = b""
        self._pids: list[Pid] = []

    def line(self) -> str:
        """The next line that the job wrote."""
        while b"\n" not in self._rest:
            assert is_readable(self.descriptor, FUSE_S), f"nothing came; so far: {self._rest!r}"
            self._rest += os.read(self.descriptor, 65536)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def pids(self, count: int) -> list[Pid]:
        """Processes that wrote their numbers, one a line, in no order; those that wrote a word
        before it come last.
        """
        lines = sorted((self.line() for _ in range(count)), key=lambda line: line[:1].isalpha())
        pids = [Pid(int(line.split()[-1])) for line in lines]
        self._pids += pids
        return pids

    def close(self) -> None:
        super().close()
        for pid in self._pids:
            pid.close()


class Pid:
    """A process that lived when this was made, whoever has its number later."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.descriptor = os.pidfd_open(number)

    @property
    def is_gone(self) -> bool:
        return is_readable(self.descriptor, 0)

    def wait(self) -> None:
        assert is_readable(self.descriptor, FUSE_S), f"{self.number} lives on"

    @property
    def is_reaped(self) -> bool:
        """Whether its parent has read its wait status."""
        try:
            signal.pidfd_send_signal(self.descriptor, 0)
        except ProcessLookupError:
            return True
        return False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)

    def stop(self) -> None:
        """Return when it stands still: until then a read that waits may get what comes."""
        signal.pidfd_send_signal(self.descriptor, signal.SIGSTOP)
        until(lambda: self._state == "T")

    @property
    def _state(self) -> str:
        """Source: proc(5), /proc/pid/stat."""
        return Path(f"/proc/{self.number}/stat").read_text().rpartition(")")[2].split()[0]

    def go_on(self) -> None:
        signal.pidfd_send_signal(self.descriptor, signal.SIGCONT)

    def close(self) -> None:
        os.close(self.descriptor)


class Client:
    """A service process, as the supervisor sees one."""

    def __init__(
        self, state_dir: Path, *, role: str | None = "worker", max_running: int = 100
    ) -> None:
        self.state_dir = state_dir
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(FUSE_S)
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.connect(f"/proc/self/fd/{directory}/supervisor.sock")
        finally:
            os.close(directory)
        self._frames = Frames()
        self._request_ids = itertools.count(1)
        self.inbox: list[dict[str, Any]] = []
        self._claimed: list[str] = []
        self._finished: set[str] = set()
        self.hello = self.expect("hello")
        if role is not None:
            self.introduce(role, max_running)
            self.sync()

    def introduce(self, role: str, max_running: int = 100) -> None:
        bounds = {"max_running": max_running, "max_pending": 0} if role == "worker" else {}
        self.send("hello", protocol=PROTOCOL, role=role, pid=os.getpid(), **bounds)

    def send(self, kind: str, **fields: Any) -> None:
        self._socket.sendall(encode({"type": kind, **fields}))

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def expect(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first message not taken yet that is this one; the others stay in the inbox."""
        seen = 0
        while True:
            for n, message in enumerate(self.inbox[seen:], seen):
                if message["type"] == kind and fields.items() <= message.items():
                    return self.inbox.pop(n)
            seen = len(self.inbox)
            assert self._receive(), f"hung up before {kind} {fields}; inbox: {self.inbox}"

    def _receive(self) -> bool:
        data = self._socket.recv(1 << 20)
        for message in self._frames.feed(data):
            self.inbox.append(message)
            if message.get("name") == "finished":
                self._finished.add(message["job"])
        return bool(data)

    def event(self, job: str, name: str) -> dict[str, Any]:
        return self.expect("event", job=job, name=name)

    def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        request_id = next(self._request_ids)
        self.send(kind, request_id=request_id, **fields)
        return self.expect("reply", request_id=request_id)

    def sync(self) -> list[dict[str, Any]]:
        """All that was sent to this client before the supervisor answered just now."""
        self.request(
            "kill", job="no-such-job", signal=0, grace_s=0, reason="requested", requested_at=0
        )
        return self.inbox

    def claim(self, job: str) -> bool:
        """Whether the job has a run slot."""
        reply = self.request("claim", job=job)
        assert reply["ok"], reply
        self._claimed.append(job)
        has_slot: bool = reply["has_slot"]
        return has_slot

    def start(self, job: str, line: str, **options: Any) -> None:
        """Ask for a bash command. What has a bound waits for minutes, unless the test says less."""
        number = options.pop("command", 0)
        message = {
            "command": number,
            "argv": ["/bin/bash", "-c", line],
            "env": {
                "PATH": "/usr/bin:/bin",
                "JOBRUNNER_JOB_ID": job,
                "JOBRUNNER_COMMAND": str(number),
            },
            "cwd": str(self.state_dir / "jobs" / job / "work"),
            "create_cwd": True,
            "end_if": "always",
            "drain_s": 300,
            "timeout_s": 0,
            "idle_timeout_s": 0,
            "grace_s": 300,
            "output_limit_bytes": 0,
            "limits": {},
        }
        self.send("start", job=job, **{**message, **options})

    def run(self, job: str, line: str, **options: Any) -> None:
        """Claim and start."""
        assert self.claim(job)
        self.start(job, line, **options)

    def kill(self, job: str, *, grace_s: float = 300, **fields: Any) -> bool:
        message = {"signal": 15, "reason": "requested", "requested_at": time.time_ns()}
        ok: bool = self.request("kill", job=job, grace_s=grace_s, **{**message, **fields})["ok"]
        return ok

    def output(self, job: str) -> bytes:
        return (self.state_dir / "logs" / job / "output").read_bytes()

    def hung_up(self) -> bool:
        """Wait until the supervisor closes this connection."""
        try:
            while self._receive():
                pass
        except ConnectionResetError:
            return True
        return True

    def end_jobs(self) -> None:
        """End the jobs that were claimed here and forget them, so that the next test finds none."""
        for job in self._claimed:
            if self.kill(job, grace_s=0):
                while job not in self._finished:
                    assert self._receive()
                self.send("release", job=job)
        self.sync()

    def close(self) -> None:
        self._socket.close()


class Supervisor:
    """`python -m service.supervisor` in the foreground; it serves when this is made."""

    def __init__(
        self,
        state_dir: Path,
        *arguments: str,
        stay: bool = True,
        environment: dict[str, str] | None = None,
        python: tuple[str, ...] = (),
        wrapper: tuple[str, ...] = (),
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir = state_dir
        self.log_path = state_dir / "supervisor.log"
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        command = [sys.executable, *python, "-P", "-m", "service.supervisor", str(state_dir)]
        command += ["--stay"] if stay else []
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, *command, "--ready-fd", str(theirs), *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(theirs,),
                env={**os.environ, **(environment or {})},  # noqa: TID251 - as the service's is
            )
        os.close(theirs)
        with open(ours, "rb", buffering=0) as ready:
            assert is_readable(ready.fileno(), FUSE_S)
            assert ready.read(1) == b"1", self.log
        self.clients: list[Client] = []

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def pid(self) -> int:
        """As its lock file says."""
        return int((self.state_dir / "supervisor.lock").read_text().split()[1])

    def connect(self, **options: Any) -> Client:
        client = Client(self.state_dir, **options)
        self.clients.append(client)
        return client

    def end_jobs(self) -> None:
        """Forget all connections, all jobs and their directories, for the next test."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        cleaner = Client(self.state_dir)
        for job in cleaner.hello["jobs"]:
            adopted = cleaner.expect("adopt", job=job)  # when its owner is seen to be gone
            cleaner.kill(job, grace_s=0)
            if "finished" not in [event["name"] for event in adopted["events"]]:
                cleaner.event(job, "finished")
            cleaner.send("release", job=job)
        cleaner.sync()
        cleaner.close()
        for directory in ("jobs", "logs"):
            shutil.rmtree(self.state_dir / directory)
            (self.state_dir / directory).mkdir()

    def close(self) -> None:
        """End it and all its jobs; one that a test killed has a successor that swept its jobs."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            cleaner = Client(self.state_dir, role=None)
            for job in cleaner.hello["jobs"]:
                cleaner.kill(job, grace_s=0)
            cleaner.close()
            self.process.terminate()
        self.process.wait(FUSE_S)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def start_supervisor(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Starts supervisors, by default of one state directory; they are ended with the test."""
    started: list[Supervisor] = []

    def start(*arguments: str, state_dir: Path | None = None, **options: Any) -> Supervisor:
        started.append(Supervisor(state_dir or tmp_path / "state", *arguments, **options))
        return started[-1]

    yield start
    for supervisor in reversed(started):
        supervisor.close()


def _cgroups_work(supervisor: Supervisor) -> bool:
    return '"no_cgroup"' not in supervisor.log


WAYS = [pytest.param("auto", id="cgroup", marks=pytest.mark.cgroup), pytest.param("off", id="walk")]


@pytest.fixture(params=WAYS, scope="module")
def shared_supervisor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Supervisor]:
    """One for each way of finding a job's processes, for tests that do it no harm."""
    supervisor = Supervisor(tmp_path_factory.mktemp("shared") / "state", "--cgroup", request.param)
    try:
        if request.param == "auto" and not _cgroups_work(supervisor):
            pytest.skip("no cgroup v2 is writable here")
        yield supervisor
    finally:
        supervisor.close()


@pytest.fixture
def client(shared_supervisor: Supervisor) -> Iterator[Client]:
    """A worker of the shared supervisor, alone and without jobs."""
    client = shared_supervisor.connect()
    yield client
    client.end_jobs()
    client.close()


@pytest.fixture
def job(request: pytest.FixtureRequest) -> str:
    """An ID that no other test uses."""
    name = re.sub(r"\W", "-", request.node.name)
    return f"{name}-{next(_NUMBERS)}"


@pytest.fixture
def plain_supervisor(start_supervisor: Callable[..., Supervisor]) -> Supervisor:
    """For what has nothing to do with how processes are found."""
    return start_supervisor("--cgroup", "off")


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Callable[[], Fifo]]:
    """Makes named pipes."""
    made: list[Fifo] = []

    def make() -> Fifo:
        made.append(Fifo(tmp_path / f"fifo{len(made)}"))
        return made[-1]

    yield make
    for pipe in made:
        pipe.close()


@pytest.fixture
def new_pid() -> Iterator[Callable[[int], Pid]]:
    """Watches processes by their numbers."""
    made: list[Pid] = []

    def watch(number: int) -> Pid:
        made.append(Pid(number))
        return made[-1]

    yield watch
    for pid in made:
        pid.close()


@pytest.fixture(scope="session")
def make_supervisor() -> type[Supervisor]:
    """For fixtures of modules, which end what they make."""
    return Supervisor
