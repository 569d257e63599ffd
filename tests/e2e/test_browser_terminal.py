"""A terminal in a real browser: xterm.js with its AttachAddon runs an editor, over the WebSocket of a job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from node_modules import CLIENTS, installed
from running import Service, running

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the browser's driver is installed in one environment only"
)
CHROMIUM = shutil.which("chromium")
IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None and not IS_CI, reason="chromium isn't installed"),
]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    # The page is made up on its way, so it comes from no address, and is taken for one of the Internet.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
]  # fmt: skip
FUSE_MS = 250_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner") as service:
        yield service


def test_xterm_js_runs_vim(service: Service, tmp_path: Path) -> None:
    modules, text = installed(), tmp_path / "text"
    job_id = service.submit(
        {"CommandLine": f"stty size; vim -u NONE -i NONE {text}", "TTY": {}, "Hold": True}
    )

    def serve(route: playwright.Route) -> None:
        """Files of the page, as the service's own: a page of another site may not call it."""
        path = urlsplit(route.request.url).path.removeprefix("/t/")
        route.fulfill(path=CLIENTS / path if path == "terminal.html" else modules / path)

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=FUSE_MS)
        page = browser.new_page()
        page.set_default_timeout(FUSE_MS)
        page.route(f"{service.url}/t/**", serve)
        page.goto(f"{service.url}/t/terminal.html#{job_id}")
        page.wait_for_function("() => window.socket_is_open")
        assert service.client.post(f"/{job_id}/release", json={}).status_code == 200
        page.wait_for_function("() => screen_text().includes('~')")
        page.keyboard.type("iGrüße from a browser")
        page.wait_for_function("() => screen_text().includes('Grüße from a browser')")
        page.keyboard.press("Escape")
        page.keyboard.type(":wq")
        page.keyboard.press("Enter")
        page.wait_for_function("() => window.close_code === 1000")
        browser.close()
    assert service.output(job_id).startswith(b"30 100\r\n")
    assert text.read_text() == "Grüße from a browser\n"
    assert service.wait(job_id)["ExitCode"] == 0
