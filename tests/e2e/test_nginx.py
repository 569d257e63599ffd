"""Behind a real nginx with the site file of deploy/: streams stay live and whole, ends stay honest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from answers import assert_problem
from running import Service, free_port, running
from watching import Watched

from service.access import tokens
from service.access.scopes import Scope
from service.kinds.settings import declared_settings

NGINX = shutil.which("nginx", path=f"{os.defpath}:/usr/sbin:/sbin")  # where Debian has it
IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.once,
    pytest.mark.skipif(NGINX is None and not IS_CI, reason="nginx isn't installed"),
]

SITE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NAME = "jobrunner.example"
MEGABYTES = 20


@contextmanager
def nginx(directory: Path, service: Service) -> Iterator[httpx.Client]:
    """The site as it stands, but for its two ports; a client of it."""
    port = free_port()
    site = SITE.read_text()
    for old, new in [
        ("127.0.0.1:8080", f"127.0.0.1:{service.port}"),
        ("127.0.0.1:8000", f"127.0.0.1:{port}"),
    ]:
        assert site.count(old) == 1
        site = site.replace(old, new)
    (directory / "site.conf").write_text(site)
    (directory / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; include {directory}/site.conf;\n"
        + "".join(
            f"{name}_temp_path {directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + "}\n"
    )
    assert NGINX is not None
    process = subprocess.Popen(
        [NGINX, "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Host": NAME},
            timeout=60,
            transport=httpx.HTTPTransport(retries=8),  # of the connection: until it listens
        ) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Service, httpx.Client]]:
    settings = {"JOBRUNNER_ALLOWED_HOSTS": NAME, "SANIC_PROXIES_COUNT": "1"}
    (tmp_path / "nginx").mkdir()
    (tmp_path / "jobrunner").mkdir()
    # Without tokens it wouldn't start with these settings.
    token = tokens.create(tmp_path / "jobrunner", "ann", [Scope.RUN])[1]
    with (
        running(tmp_path / "jobrunner", workers=2, environment=settings) as service,
        nginx(tmp_path / "nginx", service) as client,
    ):
        client.headers["Authorization"] = f"Bearer {token}"
        yield service, client


def test_each_line_comes_as_it_is_written_and_all_bytes_do(
    site: tuple[Service, httpx.Client], tmp_path: Path
) -> None:
    _, client = site
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    line = f"echo first; read _ < {gate}; head -c {MEGABYTES}M /dev/urandom | tee {tmp_path}/bytes"
    job_id = client.post("/", json={"CommandLine": line}).json()["ID"]
    with client.stream("GET", f"/{job_id}/attach") as stream:
        chunks = stream.iter_raw()
        assert next(chunks) == b"first\n"  # the job waits: nothing more can have pushed it out
        gate.write_bytes(b"\n")
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
    assert digest.digest() == hashlib.sha256((tmp_path / "bytes").read_bytes()).digest()
    assert client.get(f"/{job_id}/wait").json()["State"] == "exited"


def test_a_stream_that_was_cut_is_cut_for_the_client_too(
    site: tuple[Service, httpx.Client],
) -> None:
    service, client = site
    job_id = client.post("/", json={"CommandLine": "echo first; sleep 600"}).json()["ID"]
    with client.stream("GET", f"/{job_id}/attach") as stream:
        chunks = stream.iter_raw()
        assert next(chunks) == b"first\n"
        with Watched(service.worker_pids(), some_ended=True) as workers:
            for pid in service.worker_pids():
                os.kill(pid, signal.SIGKILL)
            workers.wait_gone()
        with pytest.raises(httpx.RemoteProtocolError):
            next(chunks)


def test_names_sites_and_tokens_hold_behind_it(
    site: tuple[Service, httpx.Client],
) -> None:
    service, client = site
    assert_problem(client.get("/", headers={"Host": "evil.example"}), 403)
    assert_problem(client.get("/", headers={"Origin": "http://evil.example"}), 403)
    assert client.get("/", headers={"Origin": f"http://{NAME}"}).status_code == 200
    assert_problem(client.get("/", headers={"Authorization": "Bearer x"}), 401)
    # nginx adds whom it sees to what a client claims; only what nginx says is believed.
    forged = {"X-Forwarded-For": "203.0.113.7"}
    assert client.post("/", json={"CommandLine": "true"}, headers=forged).status_code == 201
    last = json.loads((service.state_dir / "audit.log").read_text().splitlines()[-1])
    assert (last["action"], last["principal"], last["of"]) == ("submit", "ann", "127.0.0.1")


def test_it_takes_as_large_a_body_as_the_service_does(site: tuple[Service, httpx.Client]) -> None:
    _, client = site
    most = int(next(s.default for s in declared_settings() if s.name == "MAX_BODY"))
    assert f"client_max_body_size {most >> 20}m;" in SITE.read_text()
    headers = {"Content-Type": "application/json"}
    body = b'{"CommandLine": ":"}'.ljust(most)
    assert client.post("/", content=body, headers=headers).status_code == 201
    assert client.post("/", content=body + b" ", headers=headers).status_code == 413


def test_one_address_has_so_many_readers_at_the_most(site: tuple[Service, httpx.Client]) -> None:
    _, client = site
    job_id = client.post("/", json={"CommandLine": "sleep 600"}).json()["ID"]
    port = client.base_url.port or 0
    known = f"Authorization: {client.headers['Authorization']}"
    ask = f"GET /{job_id}/attach HTTP/1.1\r\nHost: {NAME}\r\n{known}\r\n\r\n".encode()
    with ExitStack() as open_:
        for _ in range(200):
            peer = open_.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            peer.sendall(ask)
            assert peer.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert client.get("/").status_code == 429


def test_no_request_hides_behind_it(site: tuple[Service, httpx.Client]) -> None:
    _, client = site
    body = b'{"CommandLine": "true"}'
    hidden = b"POST / HTTP/1.1\r\nHost: jobrunner.example\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"
    for fields in (
        b"Content-Length : 200",
        b"Transfer-Encoding: xchunked",
        b"X: y\nContent-Length: 200",
    ):
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0), 30) as peer:
            peer.sendall(
                b"GET /health/live HTTP/1.1\r\nHost: jobrunner.example\r\nConnection: close\r\n"
                + fields + b"\r\n\r\n" + hidden + body
            )  # fmt: skip
            peer.shutdown(socket.SHUT_WR)  # what waits for more of a body isn't kept waiting
            while peer.recv(1 << 16):
                continue
    assert client.get("/?state=all").json() == {"IDs": []}


def test_a_service_without_tokens_serves_nobody_behind_it(tmp_path: Path) -> None:
    with (
        running(tmp_path / "jobrunner") as service,
        nginx(tmp_path, service) as client,
    ):
        client.headers["Host"] = "localhost"
        for answer in (client.get("/"), client.post("/", json={"CommandLine": "true"})):
            assert "proxy" in assert_problem(answer, 401)["detail"]
        assert service.client.get("/?state=all").json() == {"IDs": []}
