"""A service on a Unix socket: who may connect to it, as the settings say."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running import Service
from watching import Watched

from service.paths import StateDir

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for several users"),
]

GROUP = 65534


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("unix")
    for directory in (place, *place.parents[:-1]):
        if directory.stat().st_uid == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    return place / "http.sock"


@pytest.fixture(scope="module", params=[1, 2])
def service(path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """In one process, and with workers: Sanic makes its socket in two places."""
    environment = {"JOBRUNNER_SOCKET_MODE": "660", "JOBRUNNER_SOCKET_GROUP": str(GROUP)}
    service = Service(
        path.parent / "state", "--unix", str(path), environment=environment, workers=request.param
    )
    try:
        service.wait_for_line("worker_ready")
        yield service
    finally:
        service.close()
    assert not path.exists()


@pytest.mark.usefixtures("service")
def test_a_job_is_submitted_over_the_socket(path: Path) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as client:
        answer = client.post("http://localhost/", json={"CommandLine": "echo hello"})
        assert answer.status_code == 201
        job_id = answer.json()["ID"]
        assert client.get(f"http://localhost/{job_id}/attach").text == "hello\n"


def test_the_audit_log_says_which_user_connected(service: Service, path: Path) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as client:
        assert client.get("http://evil.example/").status_code == 403
    lines = StateDir(service.state_dir).audit_log.read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["action"], last["code"], last["uid"]) == ("refuse", "host_not_allowed", 0)


@pytest.mark.usefixtures("service")
def test_the_socket_has_the_mode_and_the_group_of_the_settings(path: Path) -> None:
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, GROUP)


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(("groups", "error"), [([GROUP], ""), ([], "PermissionError")])
def test_who_is_in_the_group_may_connect_and_nobody_else(
    path: Path, groups: list[int], error: str
) -> None:
    code = (
        "import os, socket, sys\n"
        f"os.setgroups({groups}); os.setgid(4242); os.setuid(4242)\n"
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
    )
    done = subprocess.run(
        ["/usr/bin/env", sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.rpartition("\n")[0].rpartition("\n")[2].partition(":")[0] == error
    assert bool(done.returncode) is bool(error)


def test_every_connection_is_served_while_any_worker_is_replaced(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("u")  # a short name: that of a socket has 107 bytes
    path = place / "s"
    environment = {"JOBRUNNER_SOCKET_MODE": "660", "JOBRUNNER_SOCKET_GROUP": str(GROUP)}
    service = Service(place / "state", "--unix", str(path), environment=environment, workers=2)
    try:
        service.wait_for_line("worker_ready", 2)
        before = path.stat()
        for ready, worker in enumerate(reversed(service.worker_pids()), start=3):
            with Watched([worker]) as watched:
                os.kill(worker, signal.SIGKILL)
                watched.wait_gone()
            for _ in range(40):
                with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as one:
                    assert one.get("http://localhost/health/live").status_code == 200
            service.wait_for_line("worker_ready", ready)
        after = path.stat()
        assert (after.st_ino, after.st_mode, after.st_gid) == (
            before.st_ino,
            before.st_mode,
            before.st_gid,
        )
    finally:
        service.close()
    assert not path.exists()
    assert list(place.glob("s.*")) == []
