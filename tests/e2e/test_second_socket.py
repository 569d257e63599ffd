"""A service that listens on a Unix socket besides its port: what holds for one holds for the other."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import documents
import httpx
import jobrunner
import pytest
import trustme
from gates import Gate
from running import RELOADABLE, Service, again, running
from watching import Watched

from service.paths import StateDir

pytestmark = pytest.mark.e2e

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for several users")
STRANGER = 4242
TOKEN = ("token", "create", "--name", "ann", "--scope", "admin")


def on_socket(path: Path, **more: Any) -> dict[str, Any]:
    """Options of a service that listens there."""
    environment = {**RELOADABLE["environment"], "JOBRUNNER_SOCKET": str(path), **more}
    return {**RELOADABLE, "environment": environment}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a directory that every user may pass through, and with a short name."""
    place = tmp_path_factory.mktemp("u")
    for directory in (place, *place.parents[:-1]):
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(directory.stat().st_mode | 0o011)
    return place / "s"


@pytest.fixture
def other_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a service of the test's own."""
    return tmp_path_factory.mktemp("u") / "s"


@pytest.fixture(scope="module")
def service(path: Path) -> Iterator[Service]:
    with running(path.parent / "state", workers=2, **on_socket(path)) as service:
        yield service


@contextmanager
def over(path: Path, **options: Any) -> Iterator[httpx.Client]:
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(path)),
        base_url="http://localhost",
        timeout=300,
        **options,
    ) as client:
        yield client


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(300)
        one.connect(str(path))
        yield one


def audited(service: Service) -> list[dict[str, Any]]:
    return [json.loads(x) for x in StateDir(service.state_dir).audit_log.read_text().splitlines()]


def test_a_job_has_two_addresses(service: Service, path: Path, monkeypatch: pytest.MonkeyPatch):
    said = subprocess.run(
        [
            *("curl", "-sf", "--unix-socket", str(path), "http://localhost/"),
            *("-H", "Content-Type: application/json", "-d", '{"CommandLine": "echo hello"}'),
        ],
        capture_output=True,
        check=True,
    )
    job_id = json.loads(said.stdout)["ID"]
    assert service.output(job_id) == b"hello\n"
    monkeypatch.setenv("JOBRUNNER_URL", f"unix://{path}")
    with jobrunner.Client() as client:
        assert client.job(job_id).wait().exit_code == 0
        assert client.run("echo by the client").stdout == b"by the client\n"


def test_what_the_page_and_the_start_say_to_try_runs(service: Service, path: Path):
    section = (documents.ROOT / "deploy" / "README.md").read_text().partition("## Unix socket\n")[2]
    (commands,) = re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    shown = ran(commands.replace("/run/jobrunner/http.sock", str(path)))
    assert shown.startswith('hello\n{"IDs"')
    assert service.url in service.wait_for_line("service_ready")
    assert service.wait_for_line(r"^ +socket +unix://").split()[1] == f"unix://{path}"
    command = service.wait_for_line(r"^ +try ").split(maxsplit=1)[1]
    assert f"JOBRUNNER_URL={service.url} " in command
    assert ran(command) == "hello\n"
    assert '{"ID"' in ran(service.wait_for_line(r"^ +curl ").split(maxsplit=1)[1])


def ran(commands: str) -> str:
    """What a person's shell says that has this installation."""
    return subprocess.run(
        ["bash", "-euc", commands],
        env={"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": "/"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"X-Forwarded-For": "192.0.2.1"}, 401),
    ],
)
def test_pages_and_proxies_are_told_apart_as_over_the_port(
    service: Service, path: Path, headers: dict[str, str], status: int
):
    with over(path) as client:
        assert client.get("/", headers=headers).status_code == status
    assert service.client.get("/", headers=headers).status_code == status


@root_only
def test_nobody_but_its_owner_may_connect_and_the_audit_log_says_who_did(
    service: Service, path: Path
):
    with over(path) as client:
        first = client.post("/", json={"CommandLine": "true"}).json()["ID"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert submitted_by(STRANGER, path) == "PermissionError"
    path.chmod(0o666)
    try:
        second = submitted_by(STRANGER, path)
    finally:
        path.chmod(0o600)
    third = service.submit("true")
    lines = {x["job"]: x for x in audited(service) if x["action"] == "submit"}
    assert [lines[job_id].get("uid") for job_id in (first, second, third)] == [0, STRANGER, None]
    assert [lines[job_id].get("of") for job_id in (first, second, third)] == [
        *(None, None),
        "127.0.0.1",
    ]
    for job_id in (first, second, third):
        service.wait(job_id)


def submitted_by(uid: int, path: Path) -> str:
    """A job's ID, or the error."""
    code = (
        "import os, socket, sys, json\n"
        f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
        "one = socket.socket(socket.AF_UNIX)\n"
        "try: one.connect(sys.argv[1])\n"
        "except OSError as exc: print(type(exc).__name__); sys.exit()\n"
        'body = b\'{"CommandLine": "true"}\'\n'
        "head = 'POST / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n'\n"
        "head += f'Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n'\n"
        "one.sendall(head.encode() + body)\n"
        "said = one.makefile('rb').read()\n"
        "print(json.loads(said.partition(b'\\r\\n\\r\\n')[2])['ID'])\n"
    )
    done = subprocess.run(
        ["/usr/bin/env", sys.executable, "-I", "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return done.stdout.strip()


def test_every_worker_accepts_connections_of_the_socket(service: Service, path: Path):
    for worker in service.worker_pids()[-2:]:
        os.kill(worker, signal.SIGSTOP)  # what it accepted would wait
        try:
            for _ in range(10):
                with connected(path) as one:
                    one.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert one.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        finally:
            os.kill(worker, signal.SIGCONT)


def test_the_socket_outlives_any_worker_and_a_reload_of_all_which_cuts_what_is_open(
    service: Service, path: Path, gate: Gate
):
    before = path.stat()
    for ready, worker in enumerate(
        service.worker_pids()[-2:], start=len(service.worker_pids()) + 1
    ):
        with Watched([worker]) as watched:
            os.kill(worker, signal.SIGKILL)
            watched.wait_gone()
        for _ in range(10):
            with over(path) as client:
                assert client.get("/health/live").status_code == 200
        service.wait_for_line("worker_ready", ready)
    job_id = service.submit(f"echo begun; read -r _ < {gate}; echo ended")
    with ExitStack() as stack:
        clients = [stack.enter_context(over(path)) for _ in range(4)]
        readers = [stack.enter_context(reader(client, job_id)) for client in clients]
        idle = [stack.enter_context(connected(path)) for _ in range(4)]
        for one in idle:
            one.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(1 << 16).startswith(b"HTTP/1.1 200")
        count = len(service.worker_pids())
        assert service.client.post("/restart-all").status_code == 200
        for each in readers:
            with pytest.raises(httpx.RemoteProtocolError):
                list(each)
        assert [one.recv(1) for one in idle] == [b""] * 4
        service.wait_for_line("worker_ready", count + 2)
    assert path.stat().st_ino == before.st_ino
    gate.open()
    with over(path) as client:
        assert client.get(f"/{job_id}/attach").text == "begun\nended\n"


@contextmanager
def reader(client: httpx.Client, job_id: str) -> Iterator[Iterator[str]]:
    """Attached, with the first line read."""
    with client.stream("GET", f"/{job_id}/attach") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "begun"
        yield lines


def test_a_drained_service_says_so_over_both(service: Service, path: Path):
    state = {"JOBRUNNER_STATE_DIR": str(service.state_dir)}
    with over(path) as client:
        for verb, status in (("drain", 503), ("resume", 201)):
            subprocess.run([sys.executable, "-m", "service", verb], env=state, check=True)
            for each in (client, service.client):
                answer = each.post("/", json={"CommandLine": "true"})
                assert answer.status_code == status
                if status == 201:
                    service.wait(answer.json()["ID"])


def test_a_stop_cuts_readers_at_both_addresses_and_removes_the_file(
    state_dir: Path, other_path: Path, gate: Gate
):
    leave = {"JOBRUNNER_SHUTDOWN": "leave"}
    with running(state_dir, workers=2, **on_socket(other_path, **leave)) as service:
        job_id = service.submit(f"echo begun; read -r _ < {gate}")
        with (
            over(other_path) as client,
            reader(client, job_id) as lines,
            reader(service.client, job_id) as others,
            connected(other_path) as idle,
        ):
            assert service.stop() == 0
            for each in (lines, others):
                with pytest.raises(httpx.RemoteProtocolError):
                    list(each)
            assert idle.recv(1) == b""
        assert not other_path.exists()
        with running(state_dir, **on_socket(other_path)) as successor, over(other_path) as client:
            gate.open()
            assert client.get(f"/{job_id}/wait").json()["ExitCode"] == 0
            assert successor.stop() == 0
    assert not other_path.exists()


@pytest.mark.once
def test_a_live_socket_is_refused_and_a_dead_one_replaced(
    state_dir: Path, other_path: Path, tmp_path: Path
):
    with running(state_dir, **on_socket(other_path)) as service:
        for flags in ((), ("--unix", str(other_path))):
            options = on_socket(other_path) if not flags else {}
            second = Service(tmp_path / "second", *flags, **options)
            try:
                assert second.process.wait(300) == 1
                second.wait_for_line(
                    f"^jobrunner: can't listen on '{other_path}': another service listens there"
                )
            finally:
                second.close()
        with over(other_path) as client:
            assert client.get("/health/ready").status_code == 200
        service.crash()
        assert other_path.is_socket()
        with again(service), over(other_path) as client:
            assert client.get("/health/ready").status_code == 200


@pytest.mark.once
def test_a_setting_that_is_wrong_is_told_before_anything_starts(state_dir: Path, other_path: Path):
    cases = [
        (
            on_socket(Path("s")),
            (),
            2,
            "JOBRUNNER_SOCKET is 's', expected an absolute path of at most",
        ),
        (on_socket(other_path / "s"), (), 1, "can't listen on '.*': there is no directory"),
        (on_socket(other_path), ("--unix", str(other_path)), 2, "are the same path"),
    ]
    for options, flags, status, sentence in cases:
        service = Service(state_dir, *flags, **options)
        try:
            assert service.process.wait(300) == status, sentence
            service.wait_for_line(f"^jobrunner: .*{sentence}")
        finally:
            service.close()
    assert list(other_path.parent.iterdir()) == []


def test_a_single_process_with_tokens_and_tls_holds_its_bounds_over_the_socket(
    state_dir: Path, other_path: Path, tmp_path: Path
):
    """And measures requests there; the socket itself has no TLS."""
    created = subprocess.run(
        [sys.executable, "-m", "service", *TOKEN],
        env={"JOBRUNNER_STATE_DIR": str(state_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    token = created.stdout.split()[-1]
    own = trustme.CA().issue_cert("localhost")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    flags = ("--cert", str(tmp_path / "both.pem"), "--key", str(tmp_path / "both.pem"))
    bounds = {"JOBRUNNER_MAX_STRANGERS": "3", "JOBRUNNER_REQUEST_TIMEOUT": "1"}
    service = Service(state_dir, *flags, **on_socket(other_path, **bounds))
    try:
        service.wait_for_line("service_ready")
        with over(other_path) as client:
            assert client.get("/").status_code == 401
        with jobrunner.Client(f"unix://{other_path}", token=token) as ann:
            assert ann.run("echo known").stdout == b"known\n"
        with over(other_path, headers={"Authorization": f"Bearer {token}"}) as client:
            metrics = client.get("/metrics").text
        assert 'duration_seconds_count{method="POST",route="/",status="201"} 1.0' in metrics
        refused, submitted, *_ = audited(service)
        assert (refused["action"], refused["uid"]) == ("refuse", os.geteuid())
        assert (submitted["principal"], submitted["uid"]) == ("ann", os.geteuid())
        url = service.url.replace("http:", "https:")
        with httpx.Client(verify=False) as client:  # noqa: S501 - whose it is doesn't matter here
            assert client.get(f"{url}/health/live").status_code == 200
        with ExitStack() as stack:
            held = [stack.enter_context(connected(other_path)) for _ in range(4)]
            assert held[0].recv(1) == b""  # the oldest made room for the last
        with connected(other_path) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 408")
        assert service.stop() == 0
        assert not other_path.exists()
    finally:
        service.close()
