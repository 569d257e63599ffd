"""A real browser, with pages that mean harm: what a user has open can't reach the service."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from answers import every_id
from running import Service

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the browser's driver is installed in one environment only"
)
CHROMIUM = shutil.which("chromium")
IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.once,
    pytest.mark.skipif(CHROMIUM is None and not IS_CI, reason="chromium isn't installed"),
]

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    # What a DNS server of the attacker's answers: his name is this box.
    "--host-resolver-rules=MAP *.evil.example 127.0.0.1",
]  # fmt: skip
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
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
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
