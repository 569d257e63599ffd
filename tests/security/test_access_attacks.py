"""Attacks on who gets in, on the running service: with a token of little scope, or with none."""

from __future__ import annotations

import http.client
import json
import os
import random
import select
import socket
import string
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import assert_problem, raw
from running import START_FUSE_S, Service, again, running

from service.access import tokens
from service.access.scopes import Scope
from service.api import routes
from service.cli import main
from service.paths import StateDir

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

JSON = {"Content-Type": "application/json"}
UNBOUNDED = {"JOBRUNNER_AUTH_FAILURES": "0", "JOBRUNNER_RATE_LIMIT": "0"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
# Seconds: a bound for a test that hangs.
FUSE_S = 300.0


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "jobrunner"
    directory.mkdir()
    return directory


def make(state_dir: Path, name: str, *scopes: Scope, **options: Any) -> dict[str, str]:
    """The header with a new token."""
    text = tokens.create(state_dir, name, scopes, **options)[1]
    return {"Authorization": f"Bearer {text}"}


def audit(state_dir: Path) -> list[dict[str, Any]]:
    path = state_dir / "audit.log"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def submit(service: Service, headers: dict[str, str], line: str, **more: Any) -> str:
    answer = service.client.post("/", json={"CommandLine": line, **more}, headers=headers)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["ID"]
    return job_id


# Public is a property of a route and its method


PUBLIC = {
    (m, r.path)
    for r in routes.ROUTES
    if r.is_public and "{" not in r.path
    for m in (r.method, "HEAD")
}
# What a page loads, which has nothing of jobs in it.
STATIC = "/static/"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("state") / "jobrunner"
    directory.mkdir()
    tokens.create(directory, "root", [Scope.ADMIN])
    with running(directory, environment=UNBOUNDED) as service:
        yield service


def status_of(service: Service, method: str, path: str) -> int:
    """Over the wire as it stands here: no client makes the path another."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=FUSE_S)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_public_routes_are_the_two_of_health_and_the_static_files() -> None:
    public = {route.path for route in routes.ROUTES if route.is_public}
    assert public == {"/health/live", "/health/ready", f"{STATIC}{{TREE}}/{{PATH}}"}


@pytest.mark.parametrize(
    "path",
    [
        "/static/..", "/static/../", "/static/../metrics", "/static//metrics", "/static/x/../../metrics",
        "/static/%2e%2e/metrics", "/static/..%2fmetrics", "/static/x/..%2f..%2fshell.py", "/static/x/../shell.py",
        "/static/x/%2e%2e/shell.py", "/static/x//etc/passwd", "/static/x/%2fetc%2fpasswd", "/static/x/main.js%00",
        "/static/x/list", "/static/x/vendor/", "/static/x/", "/static/x", "/static/", "/static",
    ],
)  # fmt: skip
def test_nothing_but_the_static_files_is_found_beneath_their_path(
    closed: Service, path: str
) -> None:
    assert status_of(closed, "GET", path) in (401, 404)
    assert status_of(closed, "POST", path) in (401, 404, 405)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/health/"), ("DELETE", "/health"), ("POST", "/health/clean"),
        ("GET", "/health/attach"), ("HEAD", "/health/attach"), ("GET", "/health/wait"),
        ("GET", "/health/"), ("GET", "/health"), ("OPTIONS", "/health/live"),
        ("PUT", "/health/live"), ("POST", "/health/ready"), ("DELETE", "/health/live"),
        ("GET", "//health/live"), ("GET", "/health//live"), ("GET", "/health/live/"),
        ("GET", "/HEALTH/live"), ("GET", "/health%2flive"), ("GET", "/%68ealth/live"),
        ("GET", "/health/live%00"), ("GET", "/health/live;x"), ("GET", "/health/../"),
        ("GET", "/health/live/../../"), ("GET", "/health/./live"), ("get", "/health/live"),
        ("GET", "http://127.0.0.1/health/x"), ("GET", "/x/health/live"), ("GET", "/metrics"),
        ("GET", "/openapi.json"), ("GET", "/"), ("TRACE", "/health/live"),
    ],
)  # fmt: skip
def test_no_other_spelling_or_method_gets_past_the_gate(
    closed: Service, method: str, path: str
) -> None:
    before = [line for line in audit(closed.state_dir) if line["action"] not in ("refuse", "omit")]
    assert status_of(closed, method, path) in (400, 401)  # 400: not HTTP
    after = [line for line in audit(closed.state_dir) if line["action"] not in ("refuse", "omit")]
    assert after == before


def test_of_random_paths_and_methods_the_public_pairs_alone_need_no_token(closed: Service) -> None:
    rng = random.Random(20261125)
    parts = ["health", "live", "ready", "attach", "output", "wait", "clean", "metrics", "openapi.json", "",
             UNKNOWN, ".", "..", "%2f", "%2e%2e", "HEALTH", "live?", "ready#", "*", "~"]  # fmt: skip
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"]
    seen = {status_of(closed, method, path) for method, path in PUBLIC}
    assert seen == {200}
    for _ in range(1500):
        path = "/" + "/".join(rng.choices(parts, k=rng.randint(1, 4)))
        if rng.random() < 0.3:
            path += rng.choice(string.ascii_letters + "/%;:@&=+$,")
        method = rng.choice(methods)
        plain = path.partition("?")[0].partition("#")[0]
        status = status_of(closed, method, path)
        if (method, plain) in PUBLIC:
            assert status == 200, (method, path)
        else:
            assert status in (400, 401), (method, path, status)


# Refusals are bounded before they are written

REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "host": ({"Host": "evil.example"}, "GET", "/"),
    "origin": ({"Origin": "http://evil.example"}, "GET", "/"),
    "no token": ({}, "GET", "/"),
    "wrong token": ({"Authorization": "Bearer x"}, "GET", "/no/such/route"),
    "scope": ({"Authorization": "READER"}, "POST", "/"),
    "foreign": ({"Authorization": "READER"}, "GET", "/JOB"),
    "attach": ({"Authorization": "READER"}, "GET", "/OWN/attach?follow=false"),
}


@pytest.mark.parametrize(
    ("kind", "limits"),
    [*((kind, "off") for kind in REFUSED), ("host", "default"), ("wrong token", "default")],
)
def test_a_flood_writes_a_bounded_audit_log_and_counts_the_rest(
    state_dir: Path, kind: str, limits: str
) -> None:
    is_of_reader = kind in ("foreign", "attach")
    number = 900 if is_of_reader else 300
    reader = make(state_dir, "reader", Scope.READ, principal="reader")
    owner = make(state_dir, "owner", Scope.RUN, principal="owner")
    own = make(state_dir, "mine", Scope.RUN, principal="reader")
    settings = {"JOBRUNNER_RATE_LIMIT": "0"} | (UNBOUNDED if limits == "off" else {})
    with running(state_dir, environment=settings) as service:
        jobs = {"JOB": submit(service, owner, "true"), "OWN": submit(service, own, "true")}
        service.client.get(f"/{jobs['OWN']}/wait", headers=own)
        headers, method, path = REFUSED[kind]
        headers = {k: reader["Authorization"] if v == "READER" else v for k, v in headers.items()}
        for name, job_id in jobs.items():
            path = path.replace(name, job_id)
        before = len(audit(state_dir))
        began = time.monotonic()
        seen = [
            service.client.request(method, path, headers=JSON | headers).status_code
            for _ in range(number)
        ]
        elapsed_s = time.monotonic() - began
        during = len(audit(state_dir)) - before
        if limits == "default":
            assert seen[0] in (401, 403)
            assert set(seen) == {seen[0], 429}
            assert seen.count(seen[0]) <= 31 + elapsed_s / 2
        else:
            assert len(set(seen)) == 1
            assert set(seen) <= {200, 401, 403, 404}
        service.stop()
    bound = 600 + 2 * elapsed_s if is_of_reader else 30 + elapsed_s / 6
    assert 0 < during <= bound + 1
    lines = audit(state_dir)[before:]
    written = sum(line["action"] != "omit" for line in lines)
    assert written + sum(line.get("omitted", 0) for line in lines) == number
    assert sum(line["action"] == "omit" for line in lines) <= 2


# Without tokens, no proxy


@pytest.mark.parametrize(
    "settings",
    [
        {"JOBRUNNER_ALLOWED_HOSTS": "jobs.example"},
        {"JOBRUNNER_ALLOWED_HOSTS": "127.0.0.1,localhost,10.0.0.1"},
        {"JOBRUNNER_ALLOWED_HOSTS": "*"},
        {"JOBRUNNER_ALLOWED_ORIGINS": "https://ui.example"},
        {"SANIC_PROXIES_COUNT": "1"},
        {"SANIC_FORWARDED_SECRET": "secret"},
        {"SANIC_REAL_IP_HEADER": "X-Real-IP"},
    ],
)
def test_without_tokens_it_does_not_start_where_a_proxy_is_meant(
    state_dir: Path, settings: dict[str, str]
) -> None:
    flags = ["--single-process"] if "SANIC_PROXIES_COUNT" in settings else []
    service = Service(state_dir, *flags, workers=1, environment=settings)
    try:
        assert service.process.wait(START_FUSE_S) == 2
    finally:
        service.close()
    said = "\n".join(service.lines)
    assert "jobrunner token create" in said
    assert next(iter(settings)) in said
    assert "Traceback" not in said


PROXY_FIELDS = [
    "Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "x-forwarded-proto: https",
    "X-FORWARDED-HOST: a", "X-Real-IP: 1.2.3.4", "Via: 1.1 proxy", "X-Forwarded: 1",
]  # fmt: skip


def test_without_tokens_what_a_proxy_passes_on_is_refused(state_dir: Path) -> None:
    with running(state_dir, environment=UNBOUNDED) as service:
        for field in PROXY_FIELDS:
            for method, path in [("GET", "/"), ("POST", "/"), ("GET", "/health/live")]:
                head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                head += "Content-Type: application/json\r\nContent-Length: 2\r\n"
                status, _, body = raw(service, f"{head}{field}\r\n\r\n{{}}".encode())
                assert status == 401, (field, method, path)
                assert b"proxy" in body
        assert service.client.get("/", headers={"X-Via": "1", "Viad": "1"}).status_code == 200
        # With tokens they say where a request comes from, if the service is told to believe them.
        anyone = make(state_dir, "a", Scope.READ)
        for field in PROXY_FIELDS:
            name, _, value = field.partition(": ")
            assert service.client.get("/", headers=anyone | {name: value}).status_code == 200


def test_a_proxied_service_that_loses_its_tokens_is_closed(state_dir: Path) -> None:
    anyone = make(state_dir, "a", Scope.RUN)
    settings = {"JOBRUNNER_ALLOWED_HOSTS": "jobs.example", **UNBOUNDED}
    with running(state_dir, environment=settings) as service:
        assert service.client.get("/", headers=anyone).status_code == 200
        StateDir(state_dir).tokens.unlink()
        for headers in ({}, anyone, {"Host": "jobs.example"}):
            assert_problem(service.client.get("/", headers=headers), 401)
            job = {"CommandLine": "true"}
            assert_problem(service.client.post("/", json=job, headers=headers), 401)


# What a token no longer proves is cut


class Reader:
    """Somebody whose response goes on; `ended` is when it was over, `was_cut` how."""

    def __init__(self, service: Service, path: str, headers: dict[str, str], **options: Any):
        method, version = options.get("method", "GET"), options.get("version", "1.1")
        self.socket = socket.create_connection(("127.0.0.1", service.port), FUSE_S)
        head = [f"{method} {path} HTTP/{version}", "Host: localhost", "Connection: close"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*head, "", ""]).encode())
        self.received = b""
        self.was_reset = False

    def read_until(self, text: bytes) -> None:
        while text not in self.received:
            chunk = self.socket.recv(1 << 16)
            assert chunk, self.received
            self.received += chunk

    def read_to_end(self) -> None:
        try:
            while chunk := self.socket.recv(1 << 16):
                self.received += chunk
        except ConnectionResetError:
            self.was_reset = True
        self.socket.close()

    @property
    def looks_whole(self) -> bool:
        if b"HTTP/1.1 401" in self.received:
            return False  # it came a moment too late to be cut
        if b"HTTP/1.1 200" in self.received and b"chunked" in self.received:
            return self.received.endswith(b"0\r\n\r\n")
        return not self.was_reset and bool(self.received)


def cut(readers: list[Reader], act: Callable[[], object]) -> None:
    """Whatever they wait for goes on for ever: after `act` each of them must be cut."""
    threads = [threading.Thread(target=reader.read_to_end) for reader in readers]
    for thread in threads:
        thread.start()
    act()
    for thread in threads:
        thread.join(FUSE_S)
        assert not thread.is_alive(), "not cut"
    assert not [reader.received for reader in readers if reader.looks_whole]


def everything_that_waits(
    service: Service, job_id: str, headers: dict[str, str], other_job: str
) -> list[Reader]:
    streams = [
        Reader(service, f"/{job_id}/attach", headers),
        Reader(service, f"/{job_id}/attach?stream=stdout", headers),
        Reader(service, f"/{job_id}/attach", headers, version="1.0"),
    ]
    for stream in streams:
        stream.read_until(b"begun")
    pending = Reader(service, f"/{other_job}/attach", headers)
    pending.read_until(b"\r\n\r\n")
    waits = [
        Reader(service, f"/{job_id}/wait", headers),
        Reader(service, f"/{job_id}/wait?timeout=600", headers),
    ]
    return [*streams, pending, *waits]


@pytest.mark.parametrize("workers", [None, 2])
def test_what_a_revoked_token_began_is_cut_and_what_another_began_goes_on(
    state_dir: Path, workers: int | None
) -> None:
    ann = make(state_dir, "ann", Scope.RUN, principal="both")
    bob = make(state_dir, "bob", Scope.RUN, principal="both")
    settings = {**UNBOUNDED, "JOBRUNNER_MAX_RUNNING": "1"}
    with running(state_dir, workers=workers, environment=settings) as service:
        job_id = submit(service, ann, "echo begun; sleep 600")
        waiting = submit(service, ann, "true")
        readers = [
            reader
            for _ in range(3)  # whichever worker has them
            for reader in everything_that_waits(service, job_id, ann, waiting)
        ]
        kill = Reader(service, f"/{waiting}?wait=true&signal=0", ann, method="DELETE")
        other = Reader(service, f"/{job_id}/attach", bob)
        other.read_until(b"begun")
        cut(readers, lambda: tokens.revoke(state_dir, "ann"))
        kill.read_to_end()
        answer = service.client.delete(f"/{job_id}?grace=0&wait=true", headers=bob)
        assert answer.json()["State"] == "killed"
        other.read_to_end()
        assert other.looks_whole
        assert service.client.get(f"/{job_id}", headers=ann).status_code == 401


@pytest.mark.parametrize("workers", [None, 2])
def test_the_first_token_cuts_what_anybody_began(state_dir: Path, workers: int | None) -> None:
    with running(
        state_dir, workers=workers, environment={"JOBRUNNER_MAX_RUNNING": "1", **UNBOUNDED}
    ) as service:
        job_id = submit(service, {}, "echo begun; sleep 600")
        waiting = submit(service, {}, "true")
        readers = everything_that_waits(service, job_id, {}, waiting)
        admin: dict[str, str] = {}
        cut(readers, lambda: admin.update(make(state_dir, "a", Scope.ADMIN)))
        service.client.delete(f"/{job_id}?grace=0&wait=true", headers=admin)


def test_what_an_expired_token_began_is_cut(state_dir: Path) -> None:
    ann = make(state_dir, "ann", Scope.RUN, lifetime_s=3600)
    settings = {**UNBOUNDED, "JOBRUNNER_MAX_RUNNING": "1"}
    with running(state_dir, environment=settings) as service:
        job_id = submit(service, ann, "echo begun; sleep 600")
        waiting = submit(service, ann, "true")
        other = Reader(service, f"/{job_id}/attach", ann)
        other.read_until(b"begun")
        soon = make(state_dir, "soon", Scope.READ, principal="ann", lifetime_s=6)
        expires = next(t.expires_at for t in tokens.list_tokens(state_dir) if t.name == "soon")
        readers = everything_that_waits(service, job_id, soon, waiting)
        cut(readers, lambda: None)
        assert expires is not None
        assert time.time_ns() > expires - 10_000_000, "not before"
        service.client.delete(f"/{job_id}?grace=0&wait=true", headers=ann)
        other.read_to_end()
        assert other.looks_whole


def test_without_a_watch_it_is_looked_for_while_somebody_waits(state_dir: Path) -> None:
    """A user's inotify instances are all taken: nothing tells of a change of the tokens."""
    ann = make(state_dir, "ann", Scope.RUN)
    refuse = (
        "import service.access.watch as w, service.output.inotify as i\n"
        "class Refused(i.Inotify):\n"
        "    def watch_directory(self, fd): raise OSError(24, 'no watch is left')\n"
        "w.Inotify = Refused\n"
        "import sys; from sanic.__main__ import main; sys.argv[0] = 'sanic'; main()\n"
    )
    command = ("-c", refuse, "service.app")
    with running(state_dir, "--single-process", command=command, environment=UNBOUNDED) as service:
        service.wait_for_line("tokens_not_watched")
        job_id = submit(service, ann, "echo begun; sleep 600")
        reader = Reader(service, f"/{job_id}/attach", ann)
        reader.read_until(b"begun")
        cut([reader], lambda: tokens.revoke(state_dir, "ann"))


# Foreign text


HOSTILE = [
    b"\xff\xfe", b"\xc2\x9b31m\xe2\x80\xae", b"nonsense", b"unknown", b"_hidden", b"1.2.3.4.5",
    b"\xed\xa0\x80", b"1.2.3.4\xe2\x80\xa81.2.3.4", b"<script>", b"[::1", b"fe80::1%eth0",
]  # fmt: skip


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_text_of_strangers_breaks_no_line_and_no_answer(state_dir: Path, log_format: str) -> None:
    anyone = make(state_dir, "a", Scope.RUN)
    settings = {
        "SANIC_PROXIES_COUNT": "1", "JOBRUNNER_LOG_FORMAT": log_format,
        "JOBRUNNER_LOG_REQUESTS": "on", **UNBOUNDED,
    }  # fmt: skip
    fields = [b"X-Forwarded-For: ", b"Host: ", b"User-Agent: ", b"Origin: ", b"Authorization: ",
              b"Authorization: Bearer ", b"Accept: ", b"Idempotency-Key: ", b"Content-Type: "]  # fmt: skip
    with running(state_dir, environment=settings) as service:
        for count, text in enumerate(HOSTILE, start=1):
            head = b"GET /%1b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            status, _, body = raw(service, head + b"X-Forwarded-For: " + text + b"\r\n\r\n")
            assert status == 401
            json.loads(body)
            lines = audit(state_dir)
            assert len(lines) == count
            assert lines[-1]["of"] in ("127.0.0.1", "fe80::1")
        for text in HOSTILE:
            for field in fields:
                host = b"" if field == b"Host: " else b"Host: localhost\r\n"
                for path in (b"/", b"/%1b%9b%e2%80%ae", b"/a/wait?timeout=%ff"):
                    head = b"GET " + path + b" HTTP/1.1\r\n" + host + b"Connection: close\r\n"
                    status, _, body = raw(service, head + field + text + b"\r\n\r\n")
                    assert 400 <= status < 500, (field, text)
                    json.loads(body)
        job = {"CommandLine": "true", "Name": "\x1b[2J\u202e\x9b\u2028", "Labels": {"\x85": "\n"}}
        job_id = submit(service, anyone, **job | {"line": job.pop("CommandLine")})
        service.client.get(f"/{job_id}/wait", headers=anyone)
        service.client.get(f"/{job_id}", headers=anyone).json()
        shown = subprocess.run(
            [sys.executable, "-m", "service", "audit"],
            env={"JOBRUNNER_STATE_DIR": str(state_dir), "PATH": os.defpath, "HOME": "/"},
            capture_output=True,
            check=True,
            timeout=300,
        ).stdout.decode()
    assert len(shown.splitlines()) >= len(HOSTILE)
    for line in [*shown.splitlines(), *service.lines]:
        assert not [c for c in line if 0x7F <= ord(c) <= 0x9F or c in "\u202e\u2028\ufffd"], line
        if line not in service.lines or log_format == "json":
            assert "\x1b" not in line
    assert not [line for line in service.lines if "Traceback" in line]
    if log_format == "json":
        for line in service.lines:
            json.loads(line)


# Jobs of others


def test_asking_for_a_job_of_somebody_else_is_audited_and_tells_nothing(state_dir: Path) -> None:
    ann, eve = make(state_dir, "ann", Scope.RUN), make(state_dir, "eve", Scope.RUN)
    with running(state_dir, environment=UNBOUNDED) as service:
        job_id = submit(service, ann, "true")
        service.client.get(f"/{job_id}/wait", headers=ann)
        asked = [("GET", ""), ("HEAD", ""), ("GET", "/wait"), ("GET", "/attach"), ("GET", "/output"), ("DELETE", ""),
                 ("POST", "/clean")]  # fmt: skip
        before = len(audit(state_dir))
        for method, path in asked:
            told = []
            for asked_for in (job_id, UNKNOWN):
                answer = service.client.request(method, f"/{asked_for}{path}", headers=JSON | eve)
                told.append((answer.status_code, answer.text.replace(asked_for, "ID"),
                             sorted(answer.headers)))  # fmt: skip
            assert told[0] == told[1]
        lines = audit(state_dir)[before:]
        assert [
            (x["action"], x["code"], x["principal"], x["job"], x["request"]) for x in lines
        ] == [
            ("refuse", "foreign_job", "eve", job_id, f"{method} /{job_id}{path}")
            for method, path in asked
        ]
        assert service.client.get(f"/{job_id}", headers=ann).json()["State"] == "exited"


# Ceilings of a token


def test_a_priority_above_the_ceiling_of_the_token_is_refused(state_dir: Path) -> None:
    ceilings = [
        ("run", Scope.RUN, {}, 0),
        ("some", Scope.RUN, {"max_priority": 5}, 5),
        ("admin", Scope.ADMIN, {}, 100),
        ("meek", Scope.ADMIN, {"max_priority": 0}, 0),
    ]
    with running(state_dir, environment=UNBOUNDED) as service:
        assert submit(service, {}, "true", Priority=100)  # without tokens all are one
        for name, scope, options, most in ceilings:
            headers = make(state_dir, name, scope, **options)
            for priority in (-100, 0, most):
                assert submit(service, headers, "true", Priority=priority)
            job = {"CommandLine": "true", "Priority": most + 1}
            answer = service.client.post("/", json=job, headers=headers)
            document = assert_problem(answer, 422)
            assert [error["pointer"] for error in document["errors"]] == ["/Priority"]
            if most < 100:
                assert str(most) in document["detail"]


def states(service: Service, headers: dict[str, str], ids: list[str]) -> list[str]:
    return [service.client.get(f"/{x}", headers=headers).json()["State"] for x in ids]


def kill(service: Service, headers: dict[str, str], job_id: str) -> None:
    answer = service.client.delete(f"/{job_id}?grace=0&wait=true", headers=headers)
    assert answer.json()["State"] == "killed"


def begins(service: Service, headers: dict[str, str], job_id: str) -> None:
    """Return once the job, which says so, has begun."""
    reader = Reader(service, f"/{job_id}/attach", headers)
    reader.read_until(b"begun")
    reader.socket.close()


LONG = "echo begun; sleep 600"


def test_a_principal_at_its_ceiling_waits_and_holds_up_nobody(state_dir: Path) -> None:
    two = make(state_dir, "two", Scope.RUN, principal="ann", max_running=2)
    free = make(state_dir, "free", Scope.RUN, principal="ann")
    bob = make(state_dir, "bob", Scope.RUN)
    with running(state_dir, environment=UNBOUNDED) as service:
        mine = [submit(service, two, LONG) for _ in range(4)]
        for job_id in mine[:2]:
            begins(service, two, job_id)
        theirs = [submit(service, bob, LONG) for _ in range(2)]
        for job_id in theirs:  # they don't wait behind jobs that may not run
            begins(service, bob, job_id)
        assert states(service, two, mine) == ["running", "running", "pending", "pending"]
        other = submit(service, free, LONG)  # its token has no ceiling, and it counts
        begins(service, free, other)
        kill(service, two, mine[0])
        assert states(service, two, mine[2:]) == ["pending", "pending"]
        kill(service, free, other)
        begins(service, two, mine[2])
        assert states(service, two, mine[1:]) == ["running", "running", "pending"]
        # The supervisor knows it, whatever becomes of the service.
        pid = service.supervisor_pid()
        service.crash()
        with again(service) as successor:
            assert successor.supervisor_pid() == pid
            assert states(successor, two, mine[1:]) == ["running", "running", "pending"]
            for job_id in theirs:
                kill(successor, bob, job_id)
            assert states(successor, two, mine[3:]) == ["pending"]
            kill(successor, two, mine[1])
            begins(successor, two, mine[3])


def test_the_ceiling_is_kept_when_the_supervisor_is_replaced(state_dir: Path) -> None:
    one = make(state_dir, "one", Scope.RUN, max_running=1)
    settings = {**UNBOUNDED, "JOBRUNNER_SHUTDOWN": "leave"}
    with running(state_dir, environment=settings) as service:
        mine = [submit(service, one, LONG) for _ in range(3)]
        begins(service, one, mine[0])
        upgraded = subprocess.run(
            [sys.executable, "-m", "service", "supervisor", "upgrade"],
            env={"JOBRUNNER_STATE_DIR": str(state_dir), "PATH": os.defpath, "HOME": "/"},
            capture_output=True,
            check=True,
            timeout=300,
        )
        assert b"upgraded" in upgraded.stdout
        kill(service, one, mine[0])
        begins(service, one, mine[1])
        assert states(service, one, mine[1:]) == ["running", "pending"]
        # Its supervisor dies: what is stored alone says what may run.
        descriptor = os.pidfd_open(service.supervisor_pid())
        os.kill(service.supervisor_pid(), 9)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        assert poller.poll(FUSE_S * 1000)
        os.close(descriptor)
        assert service.client.get(f"/{mine[1]}/wait", headers=one).json()["Reason"] == "lost"
        begins(service, one, mine[2])
        more = submit(service, one, LONG)
        assert states(service, one, [mine[2], more]) == ["running", "pending"]


def test_more_than_the_ceiling_of_the_token_or_a_fair_share_may_not_be_pending(
    state_dir: Path,
) -> None:
    few = make(state_dir, "few", Scope.RUN, principal="ann", max_pending=2)
    ann = make(state_dir, "ann", Scope.RUN)
    bob = make(state_dir, "bob", Scope.RUN)
    eve = make(state_dir, "eve", Scope.RUN)
    settings = {**UNBOUNDED, "JOBRUNNER_MAX_RUNNING": "1", "JOBRUNNER_MAX_PENDING": "8"}

    def refused(headers: dict[str, str]) -> str:
        answer = service.client.post("/", json={"CommandLine": "true"}, headers=headers)
        document = assert_problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        detail: str = document["detail"]
        return detail

    with running(state_dir, environment=settings) as service:
        first = submit(service, few, LONG)  # it runs, and isn't pending
        pending = [submit(service, few, "true") for _ in range(2)]
        assert "ceiling" in refused(few)
        pending += [submit(service, ann, "true") for _ in range(2)]
        assert "ann" in refused(ann)  # 4 of 8: as many as are left
        theirs = [submit(service, bob, "true") for _ in range(2)]
        assert "bob" in refused(bob)
        hers = [submit(service, eve, "true")]
        assert "eve" in refused(eve)
        assert httpx.get(f"{service.url}/health/ready").status_code == 200
        kill(service, ann, first)
        for job_id in pending:
            assert service.client.get(f"/{job_id}/wait", headers=ann).json()["State"] == "exited"
        for headers, ids in ((bob, theirs), (eve, hers)):
            for job_id in ids:
                view = service.client.get(f"/{job_id}/wait", headers=headers).json()
                assert view["State"] == "exited"


def test_a_token_shows_its_ceilings_and_wrong_ones_make_none(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", "token", *arguments],
            env={"JOBRUNNER_STATE_DIR": str(state_dir), "PATH": os.defpath, "HOME": "/"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    create = ("create", "--scope", "run", "--name")
    monkeypatch.setenv("JOBRUNNER_STATE_DIR", str(state_dir))
    bounds = {
        "--max-priority": ("101", "-1", "x", "1.5", "", "٣"),
        "--max-pending": ("0", "-1", "x", "99999999999"),
        "--max-running": ("0", "-1", "x", "99999999999"),
    }
    for option, values in bounds.items():
        for wrong in values:
            # In this process: its arguments are all that differs.
            with pytest.raises(SystemExit) as refused:
                main(["token", *create, "bad", option, wrong])
            assert refused.value.code == 2
    assert not tokens.enabled(state_dir)
    ceilings = ("--max-priority", "7", "--max-pending", "20", "--max-running", "3")
    assert cli(*create, "ci", *ceilings, "--expires", "30d").returncode == 0
    assert cli(*create, "plain").returncode == 0
    rows = {row["Name"]: row for row in json.loads(cli("list", "--json").stdout)}
    keys = ("MaxPriority", "MaxPending", "MaxRunning")
    assert [rows["ci"][key] for key in keys] == [7, 20, 3]
    assert [rows["plain"][key] for key in keys] == [0, None, None]
    table = cli("list").stdout.splitlines()
    assert "priority 7, pending 20, running 3" in table[0]
    assert "expires 20" in table[0]
    assert "priority 0 " in table[1]
