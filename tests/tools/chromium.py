"""Debian's Chromium with the page of a service, and what a page must never do there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

PROGRAM: Final = shutil.which("chromium")
IS_CI: Final = "CI" in os.environ  # noqa: TID251 - which must run these tests
FLAGS: Final = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Of the tests of a module that need it; its first line calls `driver`.
IN_A_BROWSER: Final = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None and not IS_CI, reason="chromium isn't installed"),
]
# Milliseconds: a fuse for whatever is waited for.
FUSE_MS: Final = 250_000
_AXE: Final = Path(__file__).parents[1] / "ui/vendor/axe.min.js"
# Rules of WCAG 2.2 and what axe calls best practice.
_FINDINGS: Final = """async (within) => {
    const { violations } = await axe.run(within ?? document, { resultTypes: ["violations"] });
    return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target} ${n.failureSummary}`));
}"""
# Wider than the window, and not within something that scrolls by itself.
_TOO_WIDE: Final = """() => document.documentElement.scrollWidth > innerWidth
    ? [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => e.outerHTML.slice(0, 120))
    : []"""


def driver() -> Any:
    """playwright, which is installed in one environment only: elsewhere the module's tests are skipped."""
    return pytest.importorskip(
        "playwright.sync_api", reason="the browser's driver is installed in one environment only"
    )


@contextmanager
def launched(*flags: str) -> Iterator[Any]:
    """A browser, with these flags besides."""
    sync_api = driver()
    with sync_api.sync_playwright() as started:
        sync_api.expect.set_options(timeout=FUSE_MS)
        browser = started.chromium.launch(
            executable_path=PROGRAM, args=[*FLAGS, *flags], timeout=FUSE_MS
        )
        yield browser
        browser.close()


class Watch:
    """Looks on while a page is used: what it may not do is in `faults`."""

    def __init__(self, page: Any, origin: str, *, expected: tuple[str, ...] = ()) -> None:
        self.faults: list[str] = []
        self._origin = origin
        self._expected = expected
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._requested)
        page.on("dialog", self._asked)

    def _said(self, message: Any) -> None:
        # What the browser says of a refused request is part of some tests; of the policy never.
        is_expected = any(part in message.text for part in self._expected)
        if message.type in ("error", "warning") and not is_expected:
            self.faults.append(f"{message.type}: {message.text}")

    def _requested(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("data", "blob"):
            return
        if f"{parts.scheme}://{parts.netloc}" != self._origin:
            self.faults.append(f"left the origin: {request.url}")

    def _asked(self, dialog: Any) -> None:
        self.faults.append(f"a script ran: {dialog.message}")
        dialog.dismiss()


@contextmanager
def opened(browser: Any, service: Any, *, expected: tuple[str, ...] = (), **options: Any) -> Iterator[Any]:  # fmt: skip
    """A page in a context of its own, watched: nothing may fail in it, and nothing leave the origin.

    `expected`: parts of messages of the browser that belong to the test.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(FUSE_MS)
    page = context.new_page()
    watch = Watch(page, service.url, expected=expected)
    try:
        yield page
        assert watch.faults == [], watch.faults
    finally:
        context.close()


def axe_findings(page: Any, within: str | None = None) -> list[str]:
    """What axe-core finds in the page as it is now, or in what a selector selects of it."""
    page.evaluate(_AXE.read_text())
    found: list[str] = page.evaluate(_FINDINGS, within)
    return found


def too_wide(page: Any) -> list[str]:
    """What makes the page scroll sideways."""
    found: list[str] = page.evaluate(_TOO_WIDE)
    return found
