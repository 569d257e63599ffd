"""Logging in to the page: the cookie, what it is good for, and what ends it."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from answers import assert_problem
from running import Service, again, running

from service.access import tokens
from service.access.logins import cookie_name
from service.access.scopes import Scope

pytestmark = pytest.mark.e2e

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks for tokens, with two workers."""
    with running(
        tmp_path_factory.mktemp("state") / "jobrunner",
        workers=2,
        environment={"JOBRUNNER_AUTH_FAILURES": "0", "JOBRUNNER_RATE_LIMIT": "0"},
    ) as service:
        make(service, "root", Scope.ADMIN)
        yield service


def make(service: Service, name: str, *scopes: Scope, lifetime_s: int | None = None) -> str:
    return tokens.create(service.state_dir, name, scopes, lifetime_s=lifetime_s)[1]


class Browser:
    """Sends the cookie that it was given, and the `Origin` that a browser sends with a change."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        answer = log_in(service, token)
        assert answer.status_code == 200, answer.text
        self.cookie = cookie_of(answer)

    def __call__(self, method: str, path: str, **options: object) -> httpx.Response:
        origin = {"Origin": self.service.url} if method not in ("GET", "HEAD") else {}
        given: dict[str, str] = options.pop("headers", {})  # type: ignore[assignment]
        headers = {"Cookie": f"other=1; {name_of(self.service)}={self.cookie}", **origin, **given}
        headers = {name: value for name, value in headers.items() if value}
        request = self.service.client.build_request(method, path, headers=headers, **options)  # type: ignore[arg-type]
        return self.service.client.send(request)


def log_in(service: Service, token: str, **headers: str) -> httpx.Response:
    # Not by the service's own client, which would keep the cookie.
    return httpx.post(f"{service.url}/login", json={"Token": token}, headers=headers, timeout=300)


def name_of(service: Service) -> str:
    return cookie_name(f"127.0.0.1:{service.port}")


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].partition(";")[0].partition("=")[2]


def test_a_token_becomes_a_cookie_that_does_not_contain_it(closed: Service) -> None:
    token = make(closed, "ann", Scope.RUN)
    answer = log_in(closed, token)
    assert answer.status_code == 200
    assert answer.json()["Principal"] == "ann"
    assert answer.json()["Scopes"] == ["read", "run"]
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert set(attributes) == {"Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Strict"}
    value = name.removeprefix(f"{name_of(closed)}=")
    assert re.fullmatch(r"[\w-]{43}", value)
    assert token.split("_", 2)[2] not in value
    path = closed.state_dir / "sessions.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert value not in path.read_text()
    assert token not in path.read_text()
    over_tls = log_in(closed, token, Origin=closed.url.replace("http:", "https:"))
    assert "; Secure" in over_tls.headers["set-cookie"]


def test_a_login_is_good_for_what_its_token_is_in_every_worker(closed: Service) -> None:
    reader, runner = (Browser(closed, make(closed, f"l-{s}", s)) for s in (Scope.READ, Scope.RUN))
    for _ in range(10):
        assert reader("GET", "/").status_code == 200
    assert reader("POST", "/", json={"CommandLine": "true"}).status_code == 403
    made = runner("POST", "/", json={"CommandLine": "echo mine"})
    assert made.status_code == 201
    assert runner("GET", f"/{made.json()['ID']}/wait").json()["State"] == "exited"
    assert reader("GET", f"/{made.json()['ID']}").status_code == 404  # another principal's
    shown = reader("GET", "/", headers=HTML).text
    assert 'data-user="l-read"' in shown
    assert 'data-scopes="read"' in shown
    assert 'data-login=""' in shown


@pytest.mark.parametrize("origin", ["", "https://evil.example", "null", "http://localhost:1"])
def test_a_change_needs_the_origin_of_a_page_of_the_service(closed: Service, origin: str) -> None:
    name = f"csrf-{re.sub(r'[^a-z]', '', origin) or 'none'}"
    browser = Browser(closed, make(closed, name, Scope.RUN))
    kept = browser("POST", "/", json={"CommandLine": "true"}).json()["ID"]
    browser("GET", f"/{kept}/wait")
    for method, path, options in (
        ("POST", "/", {"json": {"CommandLine": "true"}}),
        ("POST", f"/{kept}/clean", {}),
        ("DELETE", f"/{kept}", {}),
        ("PUT", f"/{kept}/files/x", {"content": b"x"}),
    ):
        answer = browser(method, path, headers={"Origin": origin}, **options)
        assert assert_problem(answer, 403)["type"].endswith("origin_not_allowed")
    assert browser("GET", "/?state=all").json()["IDs"] == [kept]


def test_the_cookie_of_another_service_of_the_host_is_another_one(closed: Service) -> None:
    """A browser keeps one cookie of a name for all ports of a host."""
    browser = Browser(closed, make(closed, "ports", Scope.READ))
    other = f"{cookie_name('127.0.0.1:1')}={'A' * 43}"
    both = {"Cookie": f"{other}; {name_of(closed)}={browser.cookie}"}
    assert browser("GET", "/", headers=both).status_code == 200
    assert browser("GET", "/", headers={"Cookie": other}).status_code == 401
    names = {
        cookie_name(host)
        for host in ("host", "host:8080", "host:8081", "[::1]", "[::1]:8443", None)
    }
    assert names == {
        "jobrunner_login", "jobrunner_login_8080", "jobrunner_login_8081", "jobrunner_login_8443",
    }  # fmt: skip


def test_a_form_cannot_log_in(closed: Service) -> None:
    token = make(closed, "form", Scope.READ)
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": content_type}
        body = json.dumps({"Token": token})
        answer = closed.client.post("/login", content=body, headers=headers)
        assert answer.status_code == 415
        assert "set-cookie" not in answer.headers
    assert log_in(closed, token, Origin="https://evil.example").status_code == 403


def test_revoking_the_token_ends_the_login_and_its_streams(closed: Service) -> None:
    browser = Browser(closed, make(closed, "gone", Scope.READ))
    headers = {"Cookie": f"{name_of(closed)}={browser.cookie}"}
    with closed.client.stream("GET", "/events?follow=true", headers=headers) as stream:
        assert stream.status_code == 200
        tokens.revoke(closed.state_dir, "gone")
        with pytest.raises(httpx.TransportError):
            stream.read()
    assert browser("GET", "/").status_code == 401
    make(closed, "gone", Scope.READ)  # another one of the same name
    assert browser("GET", "/").status_code == 401


def test_a_login_ends_with_its_token(closed: Service) -> None:
    short = make(closed, "short", Scope.READ, lifetime_s=1)
    answer = log_in(closed, short)
    if answer.status_code == 200:  # a busy machine may be later
        headers = {"Cookie": f"{name_of(closed)}={cookie_of(answer)}"}
        # A stream that it began is cut at its end, which is waited for here; or it is too late to begin one.
        with suppress(httpx.TransportError):
            assert closed.client.get("/events?follow=true", headers=headers).status_code == 401
        assert closed.client.get("/", headers=headers).status_code == 401


def test_logout_ends_the_login_its_streams_and_no_other(closed: Service) -> None:
    token = make(closed, "twice", Scope.READ)
    one, other = Browser(closed, token), Browser(closed, token)
    headers = {"Cookie": f"{name_of(closed)}={one.cookie}"}
    with closed.client.stream("GET", "/events?follow=true", headers=headers) as stream:
        answer = one("POST", "/logout")
        assert answer.status_code == 204
        assert answer.headers["set-cookie"].startswith(f"{name_of(closed)}=; Path=/; Max-Age=0;")
        with pytest.raises(httpx.TransportError):
            stream.read()
    assert one("GET", "/").status_code == 401
    assert other("GET", "/").status_code == 200
    assert one("POST", "/logout").status_code == 204  # again
    assert closed.client.post("/logout").status_code == 204
    evil = other("POST", "/logout", headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert other("GET", "/").status_code == 200


def test_who_is_not_logged_in_gets_the_login_page(closed: Service) -> None:
    for path in ("/", "/00000000-0000-4000-8000-000000000000"):
        answer = closed.client.get(path, headers=HTML)
        assert answer.status_code == 401
        assert 'data-view="login"' in answer.text
        assert 'data-user="' not in answer.text
    for value in ("", "x", "A" * 43):
        answer = closed.client.get("/", headers={"Cookie": f"{name_of(closed)}={value}"})
        assert_problem(answer, 401)


def test_a_wrong_token_logs_nobody_in_and_is_audited(closed: Service) -> None:
    for wrong in ("", "x", "jr_0123456789ab_" + "A" * 43):
        answer = log_in(closed, wrong)
        assert assert_problem(answer, 401)["type"].endswith("unauthenticated")
        assert "set-cookie" not in answer.headers
    assert httpx.post(f"{closed.url}/login", json={"Token": 1}).status_code == 422
    browser = Browser(closed, make(closed, "seen", Scope.READ))
    browser("POST", "/logout")
    lines = [json.loads(line) for line in (closed.state_dir / "audit.log").read_text().splitlines()]
    assert [line["action"] for line in lines if line["principal"] == "seen"] == ["login", "logout"]
    refused = [line for line in lines if line.get("request") == "POST /login"]
    assert {line["code"] for line in refused} >= {"unauthenticated"}


def test_a_token_in_the_header_wins_over_the_cookie(closed: Service) -> None:
    browser = Browser(closed, make(closed, "cookie", Scope.READ))
    token = make(closed, "header", Scope.RUN)
    headers = {"Authorization": f"Bearer {token}", "Origin": ""}
    answer = browser("POST", "/", json={"CommandLine": "true"}, headers=headers)
    assert answer.status_code == 201
    wrong = browser("GET", "/", headers={"Authorization": "Bearer nonsense"})
    assert wrong.status_code == 401


def test_a_websocket_takes_the_cookie(closed: Service) -> None:
    from websockets.sync.client import connect

    browser = Browser(closed, make(closed, "socket", Scope.RUN))
    job_id = browser("POST", "/", json={"CommandLine": "echo hello"}).json()["ID"]
    headers = {"Cookie": f"{name_of(closed)}={browser.cookie}"}
    url = f"ws://127.0.0.1:{closed.port}/{job_id}/ws"
    with connect(url, additional_headers=headers, origin=closed.url, proxy=None) as socket:  # type: ignore[arg-type]
        assert socket.recv(timeout=300) == b"hello\n"


def test_without_tokens_there_is_nothing_to_log_in_to(service: Service) -> None:
    answer = log_in(service, "jr_0123456789ab_" + "A" * 43)
    assert assert_problem(answer, 409)["type"].endswith("no_tokens")
    assert service.client.post("/logout").status_code == 204


def test_a_flood_of_wrong_tokens_is_bounded(state_dir: Path) -> None:
    with running(state_dir, environment={"JOBRUNNER_AUTH_FAILURES": "3"}) as service:
        token = make(service, "root", Scope.ADMIN)
        statuses = [log_in(service, "wrong").status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert log_in(service, token).status_code == 200


def test_logins_outlast_a_restart_and_damage_ends_them(state_dir: Path) -> None:
    environment = {"JOBRUNNER_LOGIN_LIFETIME": "3600"}
    with running(state_dir, environment=environment) as service:
        browser = Browser(service, make(service, "root", Scope.ADMIN))
        assert browser("GET", "/").status_code == 200
        service.stop()
    with again(service) as successor:
        browser.service = successor
        assert browser("GET", "/").status_code == 200
        (state_dir / "sessions.json").write_text("{")
        assert browser("GET", "/").status_code == 401
        assert (
            Browser(successor, make(successor, "other", Scope.READ))("GET", "/").status_code == 200
        )


def test_behind_a_prefix_the_cookie_is_for_it_alone(state_dir: Path) -> None:
    with running(state_dir, environment={"JOBRUNNER_PREFIX": "/jobs"}) as service:
        answer = log_in(service, make(service, "root", Scope.ADMIN))
        assert "; Path=/jobs;" in answer.headers["set-cookie"]
