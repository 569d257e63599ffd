"""Who gets in, and what they may do: every route, every scope, one's own jobs and those of others."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import trustme
from answers import assert_problem, raw
from running import START_FUSE_S, Service, free_port, running

from service.access import tokens
from service.access.scopes import Scope
from service.api import routes
from service.kinds.settings import read_settings
from service.web.server import Jobrunner

pytestmark = pytest.mark.e2e

JSON = {"Content-Type": "application/json"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - where nothing gets to listen
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def make(state_dir: Path, name: str, *scopes: Scope, **options: Any) -> str:
    return tokens.create(state_dir, name, scopes, **options)[1]


class Caller:
    """Somebody with a token."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self.token = token

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = bearer(self.token) | options.pop("headers", {})
        return self.service.client.request(method, path, headers=headers, **options)

    def submit(self, line: str, **headers: str) -> str:
        answer = self("POST", "/", json={"CommandLine": line}, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        job_id: str = answer.json()["ID"]
        return job_id


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks for tokens; `tokens.create` works on its state directory."""
    with running(
        tmp_path_factory.mktemp("state") / "jobrunner",
        workers=2,
        environment={"JOBRUNNER_AUTH_FAILURES": "0", "JOBRUNNER_RATE_LIMIT": "0"},
    ) as service:
        make(service.state_dir, "root", Scope.ADMIN)
        yield service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One without tokens that says why it refuses, however often it has to."""
    with running(
        tmp_path_factory.mktemp("state") / "jobrunner",
        environment={"JOBRUNNER_AUTH_FAILURES": "0"},
    ) as service:
        yield service


@pytest.fixture(scope="module")
def callers(closed: Service) -> dict[str, Caller]:
    """One principal with a token of each scope, and others."""
    mine = {
        scope.value: Caller(
            closed,
            make(
                closed.state_dir,
                f"me-{scope}",
                scope,
                principal="me" if scope is not Scope.ADMIN else "boss",
            ),
        )
        for scope in Scope
    }
    mine["other"] = Caller(closed, make(closed.state_dir, "other", Scope.RUN))
    return mine


# Route by route


def finished_job(caller: Caller) -> str:
    job_id = caller.submit("echo mine")
    assert caller("GET", f"/{job_id}/wait").json()["State"] == "exited"
    return job_id


# (method, path below the job or None for the list, what is allowed from which scope on)
ROUTES = [
    ("GET", "", "read"),
    ("HEAD", "", "read"),
    ("GET", "/wait", "read"),
    ("HEAD", "/wait", "read"),
    ("GET", "/attach", "read"),
    ("HEAD", "/attach", "read"),
    ("GET", "/output", "read"),
    ("HEAD", "/output", "read"),
    ("GET", "/lines", "read"),
    ("HEAD", "/lines", "read"),
    ("DELETE", "", "run"),
    ("POST", "/clean", "run"),
    ("POST", "/rerun", "run"),
    ("POST", "/signal", "run"),
    ("POST", "/stdin", "run"),
    ("POST", "/resize", "run"),
    ("POST", "/release", "run"),
    ("GET", "/ws", "read"),
    ("GET", "/files", "read"),
    ("HEAD", "/files", "read"),
    ("PUT", "/files", "run"),
    ("GET", "/files/{PATH}", "read"),
    ("HEAD", "/files/{PATH}", "read"),
    ("PUT", "/files/{PATH}", "run"),
    ("DELETE", "/files/{PATH}", "run"),
]
# What is asked for, where that isn't the path as it stands above.
ASKED = {
    "/resize": "/resize?rows=5&cols=5",
    "/files/{PATH}": "/files/new",
    ("PUT", "/files"): "/files?extract=tar",
}
# What a finished job that one sees answers, where that isn't a 200.
STATUSES = {
    "/rerun": 201,
    "/signal": 409,
    "/stdin": 409,
    "/resize": 409,
    "/release": 409,
    "/ws": 426,
    "/files/{PATH}": 404,
    ("PUT", "/files"): 422,  # an empty body is no archive
    ("PUT", "/files/{PATH}"): 201,
}
ORDER = ["read", "run", "admin"]
# What isn't a job's; the first ones have tests of their own.
OTHERS = [
    ("POST", "/", "run"),
    ("GET", "/", "read"),
    ("DELETE", "/", "run"),
    ("POST", "/clean", "run"),
    ("PATCH", "/{ID}", "run"),
    ("GET", "/attach", "read"),
    ("GET", "/events", "read"),
    ("GET", "/metrics", "read"),
    ("GET", "/openapi.json", "read"),
    ("GET", "/health/live", None),
    ("GET", "/health/ready", None),
    ("GET", "/static/{TREE}/{PATH}", None),
    ("POST", "/login", None),
    ("POST", "/logout", None),
]


def test_every_route_stands_in_the_tables() -> None:
    of_jobs = {(method, f"/{{ID}}{path}", s) for method, path, s in ROUTES if method != "HEAD"}
    assert of_jobs | set(OTHERS) == {
        (route.method, route.path, None if route.public_path else route.scope.value)
        for route in routes.ROUTES
    }


@pytest.mark.parametrize("scope", [None, *ORDER])
@pytest.mark.parametrize(
    ("path", "needed"), [(path, needed) for method, path, needed in OTHERS if method == "GET"]
)
def test_what_is_no_jobs_takes_a_token_but_for_health(
    closed: Service, callers: dict[str, Caller], path: str, needed: str | None, scope: str | None
) -> None:
    path = {
        "/attach": "/attach?follow=false",
        "/static/{TREE}/{PATH}": "/static/0/style.css",
    }.get(path, path)
    for method in ("GET", "HEAD"):
        if scope is None:
            status = closed.client.request(method, path).status_code
            assert status == (200 if needed is None else 401)
        else:
            assert callers[scope](method, path).status_code == 200


@pytest.mark.parametrize("whose", ["own", "foreign", "unknown"])
@pytest.mark.parametrize("scope", ORDER)
@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
def test_every_route_with_every_scope_for_ones_own_jobs_and_others(
    callers: dict[str, Caller], method: str, path: str, needed: str, scope: str, whose: str
) -> None:
    owner = {"own": "run", "foreign": "other"}.get(whose)
    job_id = finished_job(callers[owner]) if owner else UNKNOWN
    asked = ASKED.get((method, path), ASKED.get(path, path))
    answer = callers[scope](method, f"/{job_id}{asked}")
    if ORDER.index(scope) < ORDER.index(needed):
        if method != "HEAD":
            assert assert_problem(answer, 403)["scope"] == needed
        assert answer.status_code == 403
        assert f'scope="{needed}"' in answer.headers["www-authenticate"]
        return
    is_seen = whose == "own" or (whose == "foreign" and scope == "admin")
    if (method, path) == ("DELETE", ""):
        assert answer.status_code == 200
        assert answer.json() == {"ID": job_id, "State": "exited" if is_seen else None}
        return
    status = STATUSES.get((method, path), STATUSES.get(path, 200))
    assert answer.status_code == (status if is_seen else 404), answer.text
    if not is_seen and method != "HEAD":
        of_none = callers[scope](method, f"/{UNKNOWN}{asked}")
        assert answer.text.replace(job_id, UNKNOWN) == of_none.text
        assert answer.headers.keys() == of_none.headers.keys()


@pytest.mark.parametrize(("scope", "may"), [("read", False), ("run", True), ("admin", True)])
def test_submitting_takes_the_scope_run(
    callers: dict[str, Caller], scope: str, *, may: bool
) -> None:
    before = callers["admin"]("GET", "/?state=all").json()["IDs"]
    answer = callers[scope]("POST", "/", json={"CommandLine": "true"})
    if may:
        assert answer.status_code == 201
    else:
        assert assert_problem(answer, 403)["scope"] == "run"
        assert callers["admin"]("GET", "/?state=all").json()["IDs"] == before


@pytest.mark.parametrize("view", ["ids", "full"])
def test_a_list_shows_ones_own_jobs_alone(callers: dict[str, Caller], view: str) -> None:
    mine, theirs = finished_job(callers["run"]), finished_job(callers["other"])
    for name, seen in [("read", {mine}), ("other", {theirs}), ("admin", {mine, theirs})]:
        body = callers[name]("GET", f"/?state=all&view={view}").json()
        assert {mine, theirs} & set(body["IDs"]) == seen
        assert [job["ID"] for job in body.get("Jobs", [])] in ([], body["IDs"])


def test_a_key_is_its_principals_own(callers: dict[str, Caller]) -> None:
    headers = {"Idempotency-Key": "nightly"}
    mine = callers["run"].submit("echo a", **headers)
    assert callers["run"].submit("echo a", **headers) == mine
    theirs = callers["other"].submit("echo b", **headers)
    assert theirs != mine
    answer = callers["other"]("POST", "/", json={"CommandLine": "echo a"}, headers=headers)
    assert_problem(answer, 422)


def test_a_foreign_live_job_is_neither_killed_nor_signalled_nor_followed_nor_written_to(
    callers: dict[str, Caller],
) -> None:
    job_id = callers["other"].submit("sleep 600")
    assert callers["run"]("POST", f"/{job_id}/stdin", content=b"x").status_code == 404
    assert callers["run"]("POST", f"/{job_id}/signal?signal=KILL").status_code == 404
    answer = callers["run"]("DELETE", f"/{job_id}?wait=true&grace=0")
    assert answer.json() == {"ID": job_id, "State": None}
    assert callers["run"]("GET", f"/{job_id}/attach").status_code == 404
    assert callers["other"]("GET", f"/{job_id}").json()["State"] in ("pending", "running")
    answer = callers["admin"]("DELETE", f"/{job_id}?wait=true&grace=0")
    assert answer.json() == {"ID": job_id, "State": "killed"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", f"/{UNKNOWN}"), ("DELETE", f"/{UNKNOWN}"), ("GET", "/no/such/route"),
     ("PUT", "/"), ("POST", "/"), ("GET", f"/{UNKNOWN}/attach")],
)  # fmt: skip
@pytest.mark.parametrize(
    "given", ["none", "wrong", "truncated", "basic", "empty", "two", "lower case"]
)
def test_without_a_good_token_every_route_asks_for_one(
    closed: Service, callers: dict[str, Caller], method: str, path: str, given: str
) -> None:
    good = callers["admin"].token
    headers = {
        "none": [],
        "wrong": [("Authorization", "Bearer jr_000000000000_" + "A" * 43)],
        "truncated": [("Authorization", f"Bearer {good[:-1]}")],
        "basic": [("Authorization", f"Basic {good}")],
        "empty": [("Authorization", "")],
        "two": [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")],
        "lower case": [("Authorization", f"Bearer {good.lower()}")],
    }[given]
    if given == "lower case" and good == good.lower():
        pytest.skip("this token has no capitals")
    answer = closed.client.request(method, path, headers=headers)
    document = assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert good not in answer.text
    assert document["detail"]


def test_unknown_routes_and_methods_are_told_to_who_is_known(callers: dict[str, Caller]) -> None:
    assert_problem(callers["read"]("GET", "/no/such/route"), 404)
    assert_problem(callers["run"]("PUT", "/"), 405)


def test_health_is_for_everybody(closed: Service) -> None:
    assert closed.client.get("/health/live").status_code == 200
    assert closed.client.get("/health/ready").status_code == 200


# Tokens come and go


def cli(state_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={"JOBRUNNER_STATE_DIR": str(state_dir), "PATH": "/usr/bin:/bin", "HOME": "/"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_first_token_closes_a_running_service_and_revoking_acts_at_once(
    state_dir: Path,
) -> None:
    with running(state_dir, workers=2) as service:
        job_id = service.run("echo before")["ID"]
        made = cli(state_dir, "token", "create", "--name", "a", "--scope", "admin")
        assert made.returncode == 0, made.stderr
        token = made.stdout.split()[-1]
        for _ in range(10):  # whichever worker answers
            with httpx.Client(base_url=service.url) as client:
                assert client.get("/").status_code == 401
                assert client.get(f"/{job_id}", headers=bearer(token)).status_code == 200
        assert f"of the state directory {state_dir} is valid" in made.stdout
        listing = cli(state_dir, "token", "list", "--json")
        assert [row["Name"] for row in json.loads(listing.stdout)] == ["a"]
        assert token not in listing.stdout
        assert cli(state_dir, "token", "revoke", "a").returncode == 0
        for _ in range(10):
            with httpx.Client(base_url=service.url) as client:
                assert client.get("/", headers=bearer(token)).status_code == 401
                assert client.get("/").status_code == 401
        for line in service.lines:
            assert token not in line


def test_what_came_before_the_first_token_is_for_admins(state_dir: Path) -> None:
    with running(state_dir) as service:
        job_id = service.run("echo before")["ID"]
        run = Caller(service, make(state_dir, "run", Scope.RUN))
        admin = Caller(service, make(state_dir, "admin", Scope.ADMIN))
        assert run("GET", f"/{job_id}").status_code == 404
        assert admin("GET", f"/{job_id}").status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--name", "a"],
        ["create", "--name", "a", "--scope", "all"],
        ["create", "--name", "a", "--scope", "run", "--expires", "30"],
        ["create", "--name", "a", "--scope", "run", "--expires", "0d"],
        ["create", "--name", "a b", "--scope", "run"],
        ["create", "--scope", "run"],
        ["revoke", "nobody"],
    ],
)
def test_what_makes_no_token_is_told_and_leaves_the_service_open(
    tmp_path: Path, arguments: list[str]
) -> None:
    refused = cli(tmp_path / "state", "token", *arguments)
    assert refused.returncode in (1, 2)
    assert refused.stderr
    assert not refused.stdout
    assert not tokens.enabled(tmp_path / "state")


# Where it listens


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        ([], {"JOBRUNNER_HOSTNAME": EVERYWHERE}),
        (["--host", EVERYWHERE], {}),
        (["--host", "::", "--single-process"], {}),
        (["--host", EVERYWHERE, "--dev"], {}),
    ],
)
def test_beyond_loopback_it_starts_with_tokens_alone(
    state_dir: Path, flags: list[str], settings: dict[str, str]
) -> None:
    service = Service(state_dir, *flags, workers=1, environment=settings)
    try:
        assert service.process.wait(START_FUSE_S) == 2
    finally:
        service.close()
    said = "\n".join(service.lines)
    assert "jobrunner token create" in said
    assert "Traceback" not in said


def test_with_tokens_it_listens_where_it_is_told(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state_dir.mkdir()
    monkeypatch.setenv("JOBRUNNER_STATE_DIR", str(state_dir))
    settings = read_settings()
    app = SimpleNamespace(ctx=SimpleNamespace(settings=settings), config={})
    with pytest.raises(SystemExit) as refused:
        Jobrunner.get_address(app, EVERYWHERE, 1)  # type: ignore[arg-type]
    assert refused.value.code == 2
    assert "token create" in capsys.readouterr().err
    make(state_dir, "a", Scope.RUN)
    assert Jobrunner.get_address(app, EVERYWHERE, 1) == (EVERYWHERE, 1)  # type: ignore[arg-type]


def test_it_is_called_by_the_names_that_it_is_told(state_dir: Path) -> None:
    state_dir.mkdir()
    settings = {"JOBRUNNER_ALLOWED_HOSTS": "lab.example"}
    token = make(state_dir, "a", Scope.READ)
    hosts = {
        "lab.example": 200,
        "LAB.example:443": 200,
        "localhost": 200,
        "[::1]:8080": 200,
        "evil.example": 403,
    }
    with running(state_dir, environment=settings) as service:
        for host, status in hosts.items():
            named = {"Host": host}
            headers = bearer(token) | named
            assert service.client.get("/", headers=headers).status_code == status
            for path in ("/health/live", "/health/ready"):
                assert service.client.get(path, headers=named).status_code == 200


# Pages


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/"), ("DELETE", f"/{UNKNOWN}"), ("POST", f"/{UNKNOWN}/clean"),
     ("GET", f"/{UNKNOWN}/attach"), ("GET", "/no/such/route"), ("GET", "/health/live")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "host_not_allowed"),
        ({"Host": "evil.example:8080"}, "host_not_allowed"),
        ({"Host": "127.0.0.1.evil.example"}, "host_not_allowed"),
        ({"Host": "10.0.0.1"}, "host_not_allowed"),
        ({"Origin": "http://evil.example"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
        ({"Origin": "http://localhost:1"}, "origin_not_allowed"),
    ],
)
def test_no_page_of_another_site_gets_in(
    service: Service, method: str, path: str, headers: dict[str, str], code: str
) -> None:
    answer = service.client.request(
        method, path, headers=JSON | headers, content=b'{"CommandLine": "true"}'
    )
    if path == "/health/live" and code == "host_not_allowed":  # any name will do
        assert answer.status_code == 200
        return
    assert assert_problem(answer, 403)["type"].endswith(code)
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_its_own_gets_in(service: Service) -> None:
    assert service.client.get("/", headers={"Origin": service.url}).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"],
)
def test_nothing_that_a_form_can_post_changes_anything(service: Service, content_type: str) -> None:
    job_id = service.run("echo x")["ID"]
    for path in ("/", f"/{job_id}/clean"):
        answer = service.client.post(
            path, content=b'{"CommandLine": "true"}', headers={"Content-Type": content_type}
        )
        assert_problem(answer, 415)
    assert service.show(job_id)["State"] == "exited"


# Requests in requests

HIDDEN = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"
    b'{"CommandLine": "true"}'
)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length : %d",
        b"Content-Length: 0\nContent-Length: %d",
        b"Content-Length: %d\r\nTransfer-Encoding: chunked",
        b"Content-Length: %d\r\nContent-Length: 0",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"X: y\r\n Content-Length: %d",
        b"Host: localhost",
        b"Content-Length: \xd9\xa1",
    ],
)
def test_no_request_hides_in_another(service: Service, fields: bytes) -> None:
    before = service.client.get("/?state=all").json()["IDs"]
    fields = fields % len(HIDDEN) if b"%d" in fields else fields
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n\r\n" + HIDDEN
    status, _, rest = raw(service, request)
    assert status == 400
    assert b"HTTP/1.1" not in rest  # one answer, and the connection is closed
    assert service.client.get("/?state=all").json()["IDs"] == before


# Rates


def test_too_many_requests_are_told_when_to_come_again(state_dir: Path) -> None:
    settings = {"JOBRUNNER_RATE_LIMIT": "5", "JOBRUNNER_AUTH_FAILURES": "5"}
    with running(state_dir, environment=settings) as service:
        caller = Caller(service, make(state_dir, "a", Scope.READ))
        other = Caller(service, make(state_dir, "b", Scope.READ))
        answers = [caller("GET", "/") for _ in range(40)]
        late = [answer for answer in answers if answer.status_code != 200]
        assert late
        for answer in late:
            assert_problem(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1
        assert other("GET", "/").status_code == 200
        failures = [service.client.get("/", headers=bearer("x")) for _ in range(12)]
        assert {answer.status_code for answer in failures[:5]} == {401}
        assert_problem(failures[-1], 429)
        assert int(failures[-1].headers["retry-after"]) >= 1
        # Who guesses from the same address doesn't lock out who has a token.
        assert other("GET", "/").status_code == 200


def test_without_tokens_nobody_is_slowed_down(service: Service) -> None:
    assert {service.client.get("/health/live").status_code for _ in range(300)} == {200}
    assert {service.client.get("/").status_code for _ in range(300)} == {200}


# The audit log


def test_the_audit_log_says_who_did_what_and_what_was_refused(state_dir: Path) -> None:
    secret = "hunter2-in-the-environment"
    with running(state_dir, workers=2) as service:
        token = make(state_dir, "ann", Scope.RUN)
        ann = Caller(service, token)
        job = {"CommandLine": "echo $SECRET", "Environment": {"SECRET": secret}}
        job_id = ann("POST", "/", json=job).json()["ID"]
        assert secret in ann("GET", f"/{job_id}/attach").text
        ann("DELETE", f"/{job_id}?wait=true")
        ann("POST", f"/{job_id}/clean")
        reader = Caller(service, make(state_dir, "reader", Scope.READ))
        reader("POST", "/", json=job)
        service.client.get("/", headers=bearer("jr_wrong"))
        service.client.get("/", headers={"Origin": "http://evil.example"})
    shown = cli(state_dir, "audit")
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    seen = [(x["action"], x["principal"], x.get("job"), x.get("code")) for x in lines]
    assert seen == [
        ("submit", "ann", job_id, None),
        ("attach", "ann", job_id, None),
        ("kill", "ann", job_id, None),
        ("clean", "ann", job_id, None),
        ("refuse", "reader", None, "missing_scope"),
        ("refuse", None, None, "unauthenticated"),
        ("refuse", None, None, "origin_not_allowed"),
    ]
    for line in lines:
        assert line["of"] == "127.0.0.1"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["at"])
    assert [
        json.loads(x)["action"]
        for x in cli(state_dir, "audit", "--principal", "ann", "--last", "1").stdout.splitlines()
    ] == ["clean"]
    kept_in = [
        path
        for path in state_dir.rglob("*")
        if path.is_file() and path.name not in ("jobs.db", "jobs.db-wal")
    ]
    for path in kept_in:
        data = path.read_bytes()
        assert token.encode() not in data, path
        assert secret.encode() not in data, path
    for line in service.lines:
        assert token not in line
        assert secret not in line
    for name in ("jobs.db", "jobs.db-wal"):
        path = state_dir / name
        assert not path.exists() or token.encode() not in path.read_bytes()


# Certificates


def test_a_client_certificate_stands_for_the_token_of_its_name(
    state_dir: Path, tmp_path: Path
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("localhost")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, part in enumerate(own.cert_chain_pems):
        part.write_to_path(tmp_path / "cert.pem", append=number > 0)
    state_dir.mkdir()
    token = make(state_dir, "ann", Scope.RUN)

    def client(of: trustme.CA | None, name: str = "") -> httpx.Client:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        if of is not None:
            of.issue_cert("client@example.com", common_name=name).configure_cert(context)
        return httpx.Client(base_url=f"https://localhost:{port}", verify=context)

    port = free_port()
    flags = ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem")]
    settings = {
        "JOBRUNNER_TLS_CLIENT_CA": str(tmp_path / "ca.pem"),
        "JOBRUNNER_HOSTNAME": "localhost",
    }
    service = Service(state_dir, *flags, port=port, workers=1, environment=settings)
    try:
        service.wait_for_line("worker_ready")
        with client(authority, "ann") as ann:
            job_id = ann.post("/", json={"CommandLine": "echo hi"}).json()["ID"]
            assert ann.get(f"/{job_id}/attach").text == "hi\n"
        with client(None) as plain:
            assert plain.get("/").status_code == 401
            assert plain.get(f"/{job_id}", headers=bearer(token)).status_code == 200
        with client(authority, "bob") as bob:
            assert bob.get("/").status_code == 401
        with client(stranger, "ann") as forged, pytest.raises(httpx.TransportError):
            forged.get("/")
        tokens.revoke(state_dir, "ann")
        with client(authority, "ann") as ann:
            assert ann.get("/").status_code == 401
    finally:
        service.close()
