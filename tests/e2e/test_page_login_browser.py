"""Logging in in a real browser: nothing is kept there but a cookie, and no other site gains by it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from answers import every_id
from chromium import IN_A_BROWSER, axe_findings, driver, opened, too_wide
from running import Service, running

from service.access import tokens
from service.access.scopes import Scope

expect = driver().expect
pytestmark = IN_A_BROWSER
# What the browser itself says of an answer that isn't 2xx, and of a stream that is cut.
REFUSED = ("Failed to load resource", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET")
CALL = """async ([url, options]) => {
    try {
        const answer = await fetch(url, { credentials: "include", ...options });
        return `${answer.type} ${answer.status}`;
    } catch (error) {
        return `failed: ${error.name}`;
    }
}"""


class Site(BaseHTTPRequestHandler):
    """Another site, with a link to what its query says."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f'<a href="{self.path.partition("?")[2]}">the job</a>'.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("state") / "jobrunner",
        environment={"JOBRUNNER_AUTH_FAILURES": "0"},
    ) as service:
        root = tokens.create(service.state_dir, "root", [Scope.ADMIN])[1]
        service.client.headers["Authorization"] = f"Bearer {root}"
        yield service


def make(service: Service, name: str, scope: Scope) -> str:
    return tokens.create(service.state_dir, name, [scope])[1]


def log_in(page: Any, service: Service, token: str, path: str = "/") -> None:
    page.goto(service.url + path)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_login_leaves_a_cookie_and_nothing_else(browser: Any, closed: Service) -> None:
    token = make(closed, "ann", Scope.RUN)
    with opened(browser, closed, expected=REFUSED) as page:
        page.goto(closed.url)
        field = page.get_by_label("Token")
        expect(field).to_be_focused()
        field.fill("jr_0123456789ab_" + "A" * 43)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("isn’t good")
        field.fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="New job")).to_be_visible()
        expect(page.locator(".who")).to_have_text("ann")
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
        seen = page.evaluate(
            "() => [document.cookie, JSON.stringify({...localStorage, ...sessionStorage}), location.href, document.documentElement.outerHTML].join()"
        )
        assert token not in seen
        assert cookie["value"] not in seen
        # It holds, and the list is live with it.
        page.reload()
        expect(page.locator(".live.on")).to_be_visible()
        page.keyboard.press("c")
        page.get_by_label("Command line").fill("echo by ann")
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_url(re.compile(r"/[0-9a-f-]{36}$"))
        assert closed.output(page.url.rpartition("/")[2]) == b"by ann\n"
        page.goto(closed.url)
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.context.cookies() == []


def test_who_may_only_read_has_no_buttons_that_change(browser: Any, closed: Service) -> None:
    token = tokens.create(closed.state_dir, "reader", [Scope.READ], principal="root")[1]
    job_id = closed.submit({"CommandLine": "true", "Hold": True, "Name": "seen"})
    finished = closed.run({"CommandLine": "true", "Name": "over"})["ID"]
    with opened(browser, closed, expected=REFUSED) as page:
        log_in(page, closed, token)
        for each in (job_id, finished):
            expect(page.locator(f'a[href="/{each}"]')).to_be_visible()
        assert page.locator(".acts button").count() == 0
        assert page.get_by_role("button", name="New job").count() == 0
        page.keyboard.press("c")
        page.goto(f"{closed.url}/#new")
        page.reload()
        expect(page.locator(".live.on")).to_be_visible()
        assert page.locator("dialog").count() == 0
    closed.kill(job_id)


def test_a_revoked_token_leads_back_to_the_login(browser: Any, closed: Service) -> None:
    token = make(closed, "revoked", Scope.READ)
    with opened(browser, closed, expected=REFUSED) as page:
        log_in(page, closed, token)
        expect(page.locator(".live.on")).to_be_visible()
        tokens.revoke(closed.state_dir, "revoked")
        expect(page.get_by_label("Token")).to_be_visible()


def test_a_link_on_another_site_shows_the_job_to_who_is_logged_in(
    browser: Any, closed: Service, site: str
) -> None:
    """Though the browser doesn't send the cookie with that request."""
    token = make(closed, "linked", Scope.RUN)
    url = f"http://127.0.0.1:{closed.port}"
    with opened(browser, closed, expected=REFUSED) as page:
        log_in(page, closed, token)
        made = page.evaluate(
            """async () => (await (await fetch("/", {
                method: "POST", body: '{"CommandLine": "echo linked", "Name": "of-the-link"}',
                headers: { "Content-Type": "application/json" } })).json()).ID"""
        )
        closed.wait(made)
        other = page.context.new_page()
        other.goto(f"{site}/?{url}/{made}")
        other.get_by_role("link", name="the job").click()
        other.wait_for_url(f"{url}/{made}")
        expect(other.locator("#root")).to_contain_text("of-the-link")
        assert other.evaluate("window.opener") is None


def test_a_page_of_another_site_does_nothing_with_the_cookie(
    browser: Any, closed: Service, site: str
) -> None:
    token = make(closed, "victim", Scope.ADMIN)
    finished = closed.run("true")["ID"]
    before = every_id(closed)
    with opened(browser, closed, expected=REFUSED) as page:
        log_in(page, closed, token)
        evil = page.context.new_page()
        # Of another port: the same site to a cookie, another origin to everything else.
        for there in (site, site.replace("localhost", "127.0.0.1")):
            evil.goto(f"{there}/")
            for path, options in (
                ("/", {"method": "POST", "body": '{"CommandLine": "true"}', "headers": {"Content-Type": "application/json"}}),
                ("/", {"method": "POST", "body": '{"CommandLine": "true"}', "headers": {"Content-Type": "text/plain"}, "mode": "no-cors"}),
                (f"/{finished}/clean", {"method": "POST", "mode": "no-cors"}),
                ("/logout", {"method": "POST", "mode": "no-cors"}),
                ("/", {"method": "GET"}),
            ):  # fmt: skip
                seen = evil.evaluate(CALL, [closed.url + path, options])
                assert seen in ("failed: TypeError", "opaque 0")
            evil.set_content(f'<iframe src="{closed.url}/"></iframe>')
            frame = evil.frame_locator("iframe")
            assert frame.locator(".job").count() == 0
        assert every_id(closed) == before
        page.reload()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_login_is_accessible_and_fits(
    browser: Any, closed: Service, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, closed, expected=REFUSED, color_scheme=scheme, viewport=size) as page:
        page.goto(closed.url)
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert axe_findings(page) == []
        assert too_wide(page) == []


def test_behind_a_prefix_all_of_it_works(browser: Any, state_dir: Path) -> None:
    with running(state_dir, environment={"JOBRUNNER_PREFIX": "/a/jobs"}) as service:
        token = make(service, "ann", Scope.ADMIN)
        with opened(browser, service, expected=REFUSED) as page:
            log_in(page, service, token, "/a/jobs/")
            expect(page.locator(".live.on")).to_be_visible()
            page.get_by_role("button", name="New job").click()
            page.get_by_label("Command line").fill("echo below")
            page.get_by_role("button", name="Run", exact=True).click()
            page.wait_for_url(re.compile(r"/a/jobs/[0-9a-f-]{36}$"))
            expect(page.locator("#root")).to_contain_text("echo below")
            page.get_by_role("link", name="jobrunner").click()
            expect(page.locator(".job")).to_have_count(1)
            page.get_by_role("button", name="Failed").click()
            assert page.url == f"{service.url}/a/jobs/?state=exited&exit=nonzero"
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_label("Token")).to_be_visible()
            assert page.context.cookies() == []
