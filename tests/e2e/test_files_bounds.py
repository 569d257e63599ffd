"""Bounds on files of jobs: who may, how much, how fast, and what it costs."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from answers import assert_problem
from running import Service, running

from service.access import tokens
from service.access.scopes import Scope

pytestmark = pytest.mark.e2e
WORKERS = 2

MOST = 1_000_000


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"JOBRUNNER_MAX_UPLOAD": str(MOST), "JOBRUNNER_REQUEST_TIMEOUT": "1"}
    with running(tmp_path_factory.mktemp("bounded") / "state", environment=settings) as service:
        yield service


@pytest.fixture
def held(bounded: Service) -> Iterator[str]:
    job_id = bounded.submit({"CommandLine": "true", "Hold": True})
    yield job_id
    bounded.kill(job_id)


def test_an_upload_is_bounded_whether_it_tells_its_length_or_not(bounded: Service, held: str):
    url = f"/{held}/files/f"
    assert bounded.client.put(url, content=b"x" * MOST).status_code == 201
    for content in (b"x" * (MOST + 1), iter([b"x" * MOST, b"x"])):
        answer = bounded.client.put(url, content=content)
        assert "JOBRUNNER_MAX_UPLOAD" in assert_problem(answer, 413)["detail"]
    assert len(bounded.client.get(url).content) == MOST


def test_an_upload_may_be_slow_but_not_silent(bounded: Service, held: str):
    """Longer than the time limit of a request, a byte at a time; then none comes."""
    url = f"{bounded.url}/{held}/files/slow"
    line = f"for i in 1 2 3 4; do echo $i; sleep 0.4; done | curl -sSfT - {url}"
    shell(line)
    assert bounded.client.get(f"/{held}/files/slow").content == b"1\n2\n3\n4\n"
    with socket.create_connection(("127.0.0.1", bounded.port)) as silent:
        head = f"PUT /{held}/files/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
        silent.sendall(head.encode() + b"x")
        answer = b"".join(iter(lambda: silent.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"No byte of the body came" in answer
    assert bounded.client.get(f"/{held}/files/slow").content == b"1\n2\n3\n4\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with tokens: of ann and bob, who may run, and of rae, who may read."""
    state_dir = tmp_path_factory.mktemp("guarded") / "state"
    state_dir.mkdir(mode=0o711)
    named = {"ann": Scope.RUN, "bob": Scope.RUN, "rae": Scope.READ}
    made = {name: tokens.create(state_dir, name, (scope,))[1] for name, scope in named.items()}
    with running(state_dir) as service:
        service.tokens = made  # type: ignore[attr-defined]
        yield service


def test_files_of_a_foreign_job_are_those_of_an_unknown_one(guarded: Service):
    def client(name: str) -> httpx.Client:
        token = guarded.tokens[name]  # type: ignore[attr-defined]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=guarded.url, headers=headers)

    with client("ann") as ann, client("bob") as bob, client("rae") as rae:
        job_id = ann.post("/", json={"CommandLine": "true", "Hold": True}).json()["ID"]
        assert ann.put(f"/{job_id}/files/f", content=b"x").status_code == 201
        unknown = "00000000-0000-4000-8000-000000000000"
        for method, path in [
            ("GET", "files"), ("GET", "files/f"), ("GET", "files/?archive=tar"),
            ("PUT", "files/f"), ("PUT", "files?extract=tar"), ("DELETE", "files/f"),
            ("POST", "release"),
        ]:  # fmt: skip
            foreign, absent = (bob.request(method, f"/{i}/{path}") for i in (job_id, unknown))
            problem = assert_problem(foreign, 404)
            assert problem["type"].endswith("unknown_job")
            assert problem["detail"].replace(job_id, unknown) == absent.json()["detail"]
            if method != "GET":
                assert_problem(rae.request(method, f"/{job_id}/{path}"), 403)
        assert ann.get(f"/{job_id}/files/f").content == b"x"
        ann.delete(f"/{job_id}")


def shell(line: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", line]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def peak_mb(pid: int) -> int:
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1]) >> 10


@pytest.mark.slow
@pytest.mark.once
def test_large_files_and_many_small_ones_move_through_little_memory(
    service: Service, tmp_path: Path
):
    job_id = service.submit({"CommandLine": "sha256sum f; find d -type f | wc -l", "Hold": True})
    base = f"{service.url}/{job_id}/files"
    with open(tmp_path / "f", "wb") as file:
        for number in range(8):
            file.seek(number << 24)
            file.write(os.urandom(1 << 20))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(2000):
            info = tarfile.TarInfo(f"{number % 10}/{number}")
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "many.tar").write_bytes(out.getvalue())
    service.client.get("/health/ready")
    for pid in service.worker_pids():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
    before = {pid: peak_mb(pid) for pid in service.worker_pids()}
    shell(f"curl -sSfT {tmp_path}/f {base}/f")
    shell(f"curl -sSfT {tmp_path}/many.tar '{base}/d?extract=tar'")
    line = f"curl -sSf {base}/f | cmp - {tmp_path}/f && curl -sSf '{base}/d?archive=tar' | tar t"
    listed = shell(line)
    assert sum(not name.endswith("/") for name in listed.splitlines()) == 2000
    assert all(peak_mb(pid) - was < 32 for pid, was in before.items())
    service.client.post(f"/{job_id}/release")
    assert service.wait(job_id)["ExitCode"] == 0
    digest = shell(f"sha256sum {tmp_path}/f").split()[0]
    assert service.output(job_id).decode().split() == [digest, "f", "2000"]
