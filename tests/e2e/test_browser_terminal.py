"""A terminal in a real browser: xterm.js with its AttachAddon runs an editor, over the WebSocket of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chromium import FUSE_MS, IN_A_BROWSER, driver, launched
from node_modules import CLIENTS, installed
from running import Service

driver()
pytestmark = IN_A_BROWSER
# The page is made up on its way, so it comes from no address, and is taken for one of the Internet.
FLAG = "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"


def test_xterm_js_runs_vim(service: Service, tmp_path: Path) -> None:
    modules, text = installed(), tmp_path / "text"
    job_id = service.submit(
        {"CommandLine": f"stty size; vim -u NONE -i NONE {text}", "TTY": {}, "Hold": True}
    )

    def serve(route: Any) -> None:
        """Files of the page, as the service's own: a page of another site may not call it."""
        path = urlsplit(route.request.url).path.removeprefix("/t/")
        route.fulfill(path=CLIENTS / path if path == "terminal.html" else modules / path)

    with launched(FLAG) as browser:
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
    assert service.output(job_id).startswith(b"30 100\r\n")
    assert text.read_text() == "Grüße from a browser\n"
    assert service.wait(job_id)["ExitCode"] == 0
