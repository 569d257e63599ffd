"""Out of descriptors, or of room: new work is refused, what runs goes on, and it recovers."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from answers import assert_problem
from gates import Gate, attached
from running import Service, running

pytestmark = pytest.mark.e2e

DESCRIPTORS = 256
BEGIN_LIMITED = (
    "import os, resource, sys;"
    f"resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}));"
    "os.execv(sys.executable, [sys.executable, '-m', 'sanic', 'service.app', *sys.argv[1:]])"
)
LIMITED = ("-c", BEGIN_LIMITED)
# Seconds: a fuse.
FUSE_S = 300


@pytest.fixture
def limited(state_dir: Path) -> Iterator[Service]:
    with running(state_dir, command=LIMITED) as service:
        yield service


def refused(answer: httpx.Response) -> None:
    assert_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("keys", [{}, {"Stdin": True}, {"TTY": {}}], ids=repr)
def test_jobs_beyond_the_supervisors_descriptors_are_refused(
    limited: Service, gate: Gate, keys: dict[str, object]
):
    job = {"CommandLine": f"echo ready; read -r _ < {gate}; echo done", **keys}
    accepted = []
    for _ in range(DESCRIPTORS):
        answer = limited.client.post("/", json=job)
        if answer.status_code != 201:
            break
        accepted.append(answer.json()["ID"])
    refused(answer)
    assert "descriptors" in answer.json()["detail"]
    assert len(accepted) > 30
    with attached(limited, accepted[0]) as output:
        assert next(output) == "ready"
        refused(limited.client.post("/", json=job))
        # Those that run are untouched; one that is killed makes room.
        assert limited.kill(accepted[-1], wait="true", grace="0")["State"] == "killed"
        again = limited.submit(job)
        gate.open(len(accepted))
        assert list(output) == ["done"]
    for job_id in (*accepted[:-1], again):
        view = limited.wait(job_id)
        assert (view["State"], view["ExitCode"], view["Error"]) == ("exited", 0, None)
        assert limited.output(job_id).split() == [b"ready", b"done"]
    assert limited.run("echo recovered")["ExitCode"] == 0


def test_what_waits_for_a_slot_is_accepted_also_then(state_dir: Path, gate: Gate):
    environment = {"JOBRUNNER_MAX_RUNNING": "4"}
    with running(state_dir, command=LIMITED, environment=environment) as service:
        jobs = [service.submit(f"read -r _ < {gate}") for _ in range(100)]
        gate.open(len(jobs))
        assert [service.wait(job_id)["ExitCode"] for job_id in jobs] == [0] * len(jobs)


def test_a_job_has_the_soft_limit_that_the_service_was_started_with(state_dir: Path):
    raised = BEGIN_LIMITED.replace(f"({DESCRIPTORS}, {DESCRIPTORS})", f"({DESCRIPTORS}, 1024)")
    with running(state_dir, "--single-process", command=("-c", raised)) as service:
        job_id = service.run("ulimit -Sn; ulimit -Hn")["ID"]
        assert service.output(job_id) == b"256\n1024\n"
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
        (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
        assert line.split()[3:5] == ["1024", "1024"]


def ask(connection: socket.socket, request: str) -> bytes:
    """The beginning of the answer."""
    connection.sendall(f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection.recv(1 << 16)


def test_a_worker_full_of_connections_refuses_what_is_long_and_still_kills(
    limited: Service, gate: Gate
):
    job_id = limited.submit(f"echo ready; read -r _ < {gate}; echo done")
    other = limited.submit("exec sleep 1000")
    with attached(limited, job_id) as output, ExitStack() as stack:
        assert next(output) == "ready"
        for _ in range(DESCRIPTORS):
            connection = socket.create_connection(("127.0.0.1", limited.port), FUSE_S)
            stack.enter_context(connection)
            answer = ask(connection, f"GET /{job_id}/attach")
            if not answer.startswith(b"HTTP/1.1 200"):
                break
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: " in answer.lower()
        with httpx.Client(base_url=limited.url, timeout=FUSE_S) as client:
            refused(client.post("/", json={"CommandLine": "true"}))
            refused(client.get(f"/{job_id}/wait"))
            assert_problem(client.get(f"/{job_id}/none"), 404)
            assert_problem(client.put("/"), 405)
            assert client.get(f"/{job_id}").json()["State"] == "running"
            killed = client.delete(f"/{other}", params={"grace": "0"})
            assert killed.json()["State"] in ("running", "killed")
        # A reader from before goes on to the end.
        gate.open()
        assert list(output) == ["done"]
    assert limited.wait(other)["State"] == "killed"
    assert limited.run("echo recovered")["ExitCode"] == 0


# ----------------------------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", where], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def test_without_room_submissions_get_507_and_readiness_says_why(small_disk: Path):
    with running(small_disk / "jobrunner") as service:
        job_id = service.run("echo kept")["ID"]
        filler = small_disk / "filler"
        disk = os.statvfs(small_disk)
        filler.write_bytes(bytes(disk.f_bavail * disk.f_frsize - (512 << 10)))
        assert_problem(service.client.post("/", json={"CommandLine": "true"}), 507)
        ready = assert_problem(service.client.get("/health/ready"), 503)
        assert "bytes left" in ready["detail"]
        assert service.client.get("/health/live").status_code == 200
        assert service.output(job_id) == b"kept\n"
        filler.unlink()
        assert service.client.get("/health/ready").status_code == 200
        assert service.run("echo again")["ExitCode"] == 0
