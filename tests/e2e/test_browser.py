"""A real browser, with pages that mean harm: what a user has open can't reach the service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import documents
import pytest
from answers import every_id
from chromium import FUSE_MS, IN_A_BROWSER, driver, launched
from running import Service, running

from service.access import tokens
from service.access.scopes import Scope

driver()
pytestmark = IN_A_BROWSER

# What a DNS server of the attacker's answers: his name is this box.
FLAG = "--host-resolver-rules=MAP *.example 127.0.0.1"
# Answers as text, so that a test sees what a page saw.
TRY = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return `${answer.type} ${answer.status} ${await answer.text()}`;
    } catch (error) {
        return `failed: ${error.name}`;
    }
}"""


class Page(BaseHTTPRequestHandler):
    """Any page of the attacker's; the scripts are the tests'."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>cats</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The port of a server of another site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield str(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched(FLAG) as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    context.set_default_timeout(FUSE_MS)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    "options",
    [
        {"method": "POST", "body": '{"CommandLine": "true"}', "headers": {"Content-Type": "application/json"}},
        {"method": "POST", "body": '{"CommandLine": "true"}', "headers": {"Content-Type": "text/plain"}},
        {"method": "POST", "body": '{"CommandLine": "true"}', "mode": "no-cors"},
        {"method": "GET"},
    ],
    ids=["json", "text", "no-cors", "get"],
)  # fmt: skip
def test_a_page_of_another_site_starts_nothing_and_reads_nothing(
    service: Service, page: Any, site: str, options: dict[str, Any]
) -> None:
    before = every_id(service)
    page.goto(f"http://localhost:{site}/")
    seen = page.evaluate(TRY, [service.url, options])
    assert seen == "failed: TypeError" or seen.startswith("opaque 0 ")
    assert every_id(service) == before


def test_a_form_of_another_site_starts_and_cleans_nothing(
    service: Service, page: Any, site: str
) -> None:
    finished = service.run("echo kept")["ID"]
    before = every_id(service)
    for path in ("", f"/{finished}/clean"):
        for enctype in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            page.goto(f"http://localhost:{site}/")
            page.set_content(
                f'<form method="post" enctype="{enctype}" action="{service.url}{path}">'
                """<input name='{"CommandLine": "true", "Name": "' value='"}'></form>"""
            )
            with page.expect_navigation():
                page.evaluate("document.forms[0].submit()")
            assert "403" in page.content()
    assert every_id(service) == before


def test_a_name_that_was_made_to_point_here_is_refused(service: Service, page: Any) -> None:
    finished = service.run("echo secret")["ID"]
    before = every_id(service)
    there = f"http://a.evil.example:{service.port}"
    # Health checks call a service by any name: the page gets that far, and no further.
    answer = page.goto(f"{there}/health/live")
    assert answer.status == 200
    tries = [
        ("/", {"method": "GET"}),
        (f"/{finished}/attach", {"method": "GET"}),
        (f"/{finished}/clean", {"method": "POST"}),
        ("/", {"method": "POST", "body": '{"CommandLine": "true"}', "headers": {"Content-Type": "application/json"}}),
    ]  # fmt: skip
    for path, options in tries:
        # To the browser this is the page's own origin: nothing of its own stands in the way.
        seen = page.evaluate(TRY, [f"{there}{path}", options])
        assert seen.startswith("basic 403 "), seen
        assert "secret" not in seen
        assert finished not in seen
    assert every_id(service) == before


def test_a_page_of_the_services_own_origin_may_call_it(service: Service, page: Any) -> None:
    page.goto(f"{service.url}/health/live")
    options = {
        "method": "POST",
        "body": '{"CommandLine": "true"}',
        "headers": {"Content-Type": "application/json"},
    }
    assert page.evaluate(TRY, [f"{service.url}/", options]).startswith("basic 201 ")


# A page of another site that the operator has named

NAMED, TOKEN_NAME = "http://ui.example", "ui"
# Submits, attaches and kills as a user interface does; the output is read while the job runs.
USE = """async ([url, token]) => {
    const authorization = `Bearer ${token}`;
    const job = {CommandLine: "echo hello; sleep 600"};
    const headers = {authorization, "content-type": "application/json", "idempotency-key": "once"};
    const submitted = await fetch(url, {method: "POST", body: JSON.stringify(job), headers});
    const place = submitted.headers.get("location");
    const output = await fetch(url + place + "/attach", {headers: {authorization}});
    const reader = output.body.getReader();
    const text = new TextDecoder();
    let seen = "";
    while (!seen.includes("\\n")) seen += text.decode((await reader.read()).value);
    const killed = await fetch(url + place + "?wait=true&grace=0", {method: "DELETE", headers: {authorization}});
    while (!(await reader.read()).done);
    const unknown = await fetch(url + "/none", {headers: {authorization}});
    const nobody = await fetch(url + place);
    return {
        statuses: [submitted, output, killed, unknown, nobody].map((answer) => answer.status),
        seen,
        offset: output.headers.get("jobrunner-offset"),
        state: (await killed.json()).State,
        problem: (await unknown.json()).title,
        challenge: nobody.headers.get("www-authenticate"),
    };
}"""


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, site: str) -> Iterator[tuple[Service, str]]:
    """A service that pages of one site may call, and a token of it."""
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    state_dir.mkdir()
    token = tokens.create(state_dir, TOKEN_NAME, [Scope.RUN])[1]
    environment = {"JOBRUNNER_ALLOWED_ORIGINS": f"{NAMED}:{site}"}
    with running(state_dir, environment=environment) as service:
        yield service, token


def test_a_page_of_a_named_site_submits_attaches_and_kills_with_a_token(
    named: tuple[Service, str], page: Any, site: str
) -> None:
    service, token = named
    page.goto(f"{NAMED}:{site}/")
    seen = page.evaluate(USE, [service.url, token])
    assert seen == {
        "statuses": [201, 200, 200, 404, 401],
        "seen": "hello\n",
        "offset": "0",
        "state": "killed",
        "problem": "Job not found",
        "challenge": 'Bearer realm="jobrunner"',
    }


def test_the_page_of_the_recipe_shows_the_output_and_the_end(
    named: tuple[Service, str], page: Any, site: str
) -> None:
    service, token = named
    howto = (documents.ROOT / "deploy" / "HOWTO.md").read_text()
    first = "const url = "
    _, _, script = howto.partition(f"```js\n{first}")
    script = first + script.partition("```")[0].replace("https://jobs.example.org", service.url)
    page.goto(f"{NAMED}:{site}/")
    run = f"async (token) => {{ const seen = [], show = (text) => seen.push(text); {script}; return seen.join(''); }}"
    assert page.evaluate(run, token) == "testing\npassed\nexited 0"


@pytest.mark.parametrize("origin", ["http://localhost", "http://other.example", "null"])
def test_a_page_of_a_site_that_is_not_named_does_nothing_with_a_token(
    named: tuple[Service, str], page: Any, site: str, origin: str
) -> None:
    service, token = named
    known = {"Authorization": f"Bearer {token}"}
    before = service.client.get("/?state=all", headers=known).json()["IDs"]
    if origin == "null":
        page.goto("data:text/html,<title>cats</title>")
    else:
        page.goto(f"{origin}:{site}/")
    for options in (
        {"headers": {**known, "Content-Type": "application/json"}, "method": "POST", "body": '{"CommandLine": "true"}'},
        {"headers": known},
        {},
    ):  # fmt: skip
        assert page.evaluate(TRY, [service.url, options]) == "failed: TypeError"
    assert service.client.get("/?state=all", headers=known).json()["IDs"] == before


def test_a_named_page_without_cors_gets_nothing_and_starts_nothing(
    named: tuple[Service, str], page: Any, site: str
) -> None:
    service, token = named
    known = {"Authorization": f"Bearer {token}"}
    before = service.client.get("/?state=all", headers=known).json()["IDs"]
    page.goto(f"{NAMED}:{site}/")
    post = {"method": "POST", "body": '{"CommandLine": "true"}', "mode": "no-cors"}
    assert page.evaluate(TRY, [service.url, post]).startswith("opaque 0 ")
    with_cookies = {"credentials": "include", "headers": known}
    assert page.evaluate(TRY, [service.url, with_cookies]) == "failed: TypeError"
    assert service.client.get("/?state=all", headers=known).json()["IDs"] == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("GET", "/", 401), ("GET", "/none/attach", 404), ("PUT", "/", 405),
     ("GET", "/?x=1", 400), ("GET", "/health/live", 200), ("HEAD", "/", 200)],
)  # fmt: skip
def test_every_response_is_readable_for_the_named_page_and_no_other(
    named: tuple[Service, str], site: str, method: str, path: str, status: int
) -> None:
    service, token = named
    known = {} if status == 401 else {"Authorization": f"Bearer {token}"}
    for origin, readable in ((f"{NAMED}:{site}", True), (None, False), ("null", False)):
        headers = known | ({} if origin is None else {"Origin": origin})
        answer = service.client.request(method, path, headers=headers)
        assert answer.status_code == (status if origin != "null" else 403)
        assert answer.headers["vary"].endswith("Origin")
        assert answer.headers.get("access-control-allow-origin") == (origin if readable else None)
        assert "access-control-allow-credentials" not in answer.headers


def test_a_preflight_needs_no_token_and_tells_nothing_of_routes(
    named: tuple[Service, str], site: str
) -> None:
    service, _ = named
    asked = {"Origin": f"{NAMED}:{site}", "Access-Control-Request-Method": "DELETE"}
    answers = [service.client.options(path, headers=asked) for path in ("/", "/x", "/no/such/one")]
    for answer in answers:
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == f"{NAMED}:{site}"
        assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert answers[0].headers == answers[2].headers
    for wrong in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert service.client.options("/", headers=asked | wrong).status_code == 403
