"""The log viewer in a real browser: any place of a log of any size, colours, search, copies, and a log
that grows; whatever the log says, it is shown and never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import FUSE_MS, IN_A_BROWSER, axe_findings, driver
from gates import Gate, lines
from running import Service
from waiting import until

driver()
pytestmark = IN_A_BROWSER

MOUNT = """async ([id]) => {
  const base = new URL(".", document.querySelector("script[src]").src).href;
  const { mountLog } = await import(base + "log/viewer.js");
  const { createApi } = await import(base + "api.js");
  const root = document.createElement("div");
  document.body.replaceChildren(root);
  window.told = [];
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.blockedURI));
  window.viewer = mountLog(root, { id, api: createApi({}), onStatus: (each) => window.told.push(each) });
}"""
ROWS = """() => [...document.querySelectorAll(".log-row")].map((each) => each.row.plain)"""
SEEN = """() => {
  const box = document.querySelector(".log-viewport").getBoundingClientRect();
  return [...document.querySelectorAll(".log-row")].filter((each) => {
    const row = each.getBoundingClientRect();
    return row.top >= box.top - 1 && row.bottom <= box.bottom + 1;
  }).map((each) => each.row.line);
}"""
SCROLLED = """() => document.querySelector(".log-viewport").scrollTop"""

LINES = 2_500_000
"""Of the long log, some 200 MB."""


class Viewer:
    """A page with the log of a job in it."""

    def __init__(self, page: Any, service: Service) -> None:
        self.page = page
        self.service = service
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.dialogs: list[str] = []
        page.set_default_timeout(FUSE_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.service.url):
            self.elsewhere.append(request.url)

    def open(self, job: str, link: str = "") -> None:
        self.page.goto(f"{self.service.url}/{job}{link}")
        self.page.evaluate(MOUNT, [job])

    def seen(self) -> list[int | None]:
        found: list[int | None] = self.page.evaluate(SEEN)
        return found

    def rows(self) -> list[str]:
        found: list[str] = self.page.evaluate(ROWS)
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("() => window.told.at(-1) ?? {}")
        return found

    def until_seen(self, line: int) -> None:
        until(lambda: line in self.seen())

    def press(self, *keys: str) -> None:
        self.page.locator(".log-viewport").focus()
        for key in keys:
            self.page.keyboard.press(key)


@pytest.fixture
def viewer(browser: Any, service: Service) -> Iterator[Viewer]:
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=service.url)
    viewer = Viewer(context.new_page(), service)
    yield viewer
    violations = viewer.page.evaluate("() => window.violations")
    context.close()
    assert (viewer.errors, viewer.elsewhere, viewer.dialogs, violations) == ([], [], [], [])


@pytest.fixture(scope="module")
def long(service: Service) -> str:
    program = (
        f"BEGIN {{ for (n = 1; n <= {LINES}; n++)"
        r' printf "\033[3%dmline %d\033[0m of a log that is long, with \033[1mbold\033[22m words in it\n",'
        " n % 7 + 1, n }"
    )
    view = service.run(f"awk '{program}'")
    assert view["ExitCode"] == 0
    job: str = view["ID"]
    return job


ASKED = """() => performance.getEntriesByType("resource").filter((each) => each.name.includes("/lines?")).length"""
# One answer after the other, as many as what asks without end would get meanwhile.
IN_TURN = 30
ASK_IN_TURN = f"""async (job) => {{
  for (let n = 0; n < {IN_TURN}; n += 1) await (await fetch(`/${{job}}/lines?at=${{n}}&after=0`)).text();
}}"""


def test_a_viewer_that_is_not_shown_asks_for_no_rows(viewer: Viewer, long: str) -> None:
    middle = LINES // 2
    viewer.page.goto(f"{viewer.service.url}/{long}#L{middle}")
    viewer.page.evaluate("() => window.violations = []")
    viewer.page.locator(".log-viewport").wait_for()
    viewer.until_seen(middle)
    viewer.page.get_by_role("tab", name="Files").click()
    viewer.page.locator(".log-viewport").wait_for(state="hidden")
    before = viewer.page.evaluate(ASKED)
    viewer.page.evaluate(ASK_IN_TURN, long)
    asked = viewer.page.evaluate(ASKED) - before - IN_TURN
    assert asked <= 4, "what was under way"
    viewer.page.get_by_role("tab", name="Output").click()
    viewer.until_seen(middle)


def test_a_link_into_a_long_log_shows_its_line_with_its_colours(viewer: Viewer, long: str) -> None:
    middle = LINES // 2
    viewer.open(long, f"#L{middle}-L{middle + 2}")
    viewer.until_seen(middle)
    row = viewer.page.locator(f".log-row[data-line='{middle}']")
    assert row.inner_text().startswith(f"line {middle} of a log")
    assert row.locator(f".a-f{middle % 7 + 1}").inner_text() == f"line {middle}"
    chosen = viewer.page.locator(".log-chosen").all_inner_texts()
    assert [text.split(" of")[0] for text in chosen] == [f"line {middle + n}" for n in range(3)]
    size = viewer.service.show(long)["Output"]["Bytes"]
    transferred = viewer.page.evaluate(
        "() => performance.getEntriesByType('resource').reduce((sum, each) => sum + each.transferSize, 0)"
    )
    assert transferred < size / 100
    viewer.open(long, f"#o={size // 3}")
    until(lambda: viewer.page.locator(".log-chosen").count() == 1)
    place = viewer.page.locator(".log-chosen").evaluate("(each) => [each.row.offset, each.row.end]")
    assert place[0] <= size // 3 < place[1]


def test_keys_and_the_track_lead_anywhere(viewer: Viewer, long: str) -> None:
    viewer.open(long)
    viewer.until_seen(LINES)
    viewer.press("Home")
    viewer.until_seen(1)
    assert viewer.page.evaluate(SCROLLED) == 0
    viewer.press("End")
    viewer.until_seen(LINES)
    box = viewer.page.locator(".log-track").bounding_box()
    mouse = viewer.page.mouse
    mouse.move(box["x"] + 5, box["y"] + box["height"] - 3)
    mouse.down()
    for part in (0.9, 0.7, 0.5):
        mouse.move(box["x"] + 5, box["y"] + box["height"] * part)
    mouse.up()
    until(lambda: any(0.4 < (line or 0) / LINES < 0.6 for line in viewer.seen()))
    assert viewer.page.locator(".log-row").count() <= 600


def test_scrolling_on_meets_every_line_either_way(viewer: Viewer, service: Service) -> None:
    job = service.run("seq 1 2000")["ID"]
    viewer.open(job, "#L1")
    met: set[int | None] = set()

    def scroll(by: int, last: int) -> bool:
        met.update(viewer.seen())
        viewer.page.evaluate("(by) => document.querySelector('.log-viewport').scrollBy(0, by)", by)
        met.update(viewer.seen())
        return last in met

    viewer.until_seen(1)
    until(lambda: scroll(500, 2000))
    assert met >= set(range(1, 2001))
    met.clear()
    until(lambda: scroll(-500, 1))
    assert met >= set(range(1, 2001))


def test_finding_counts_marks_and_goes_on(viewer: Viewer, long: str) -> None:
    viewer.open(long, "#L1000100")
    viewer.until_seen(1_000_100)
    viewer.page.fill(".log-find", r"LINE [0-9]*99999\b")
    count = viewer.page.locator(".log-count")
    until(lambda: count.inner_text() == "not found")  # capitals mean capitals
    viewer.page.fill(".log-find", r"line [0-9]*99999\b")
    until(lambda: count.inner_text() == "11 of 25")
    viewer.until_seen(1_099_999)
    assert viewer.page.locator(".log-marks i").count() == 25
    viewer.press("n")
    until(lambda: count.inner_text() == "12 of 25")
    viewer.until_seen(1_199_999)
    assert "line 1199999 " in viewer.page.locator(".log-current").inner_text()
    viewer.press("N", "N")
    viewer.until_seen(999_999)
    viewer.page.fill(".log-find", r"line [0-9]+ of a log .* bold words in it$")  # across sequences
    total = re.sub(r"\B(?=(\d{3})+$)", "\u202f", str(LINES))
    until(lambda: count.inner_text().endswith(f" of {total}"))
    until(lambda: viewer.page.locator(".log-row:not(.log-hit)").count() == 0)
    viewer.press("G")
    viewer.until_seen(LINES)
    until(lambda: viewer.page.locator(".log-row:not(.log-hit)").count() == 0)
    viewer.page.locator(".log-find").focus()
    line = int(re.sub(r"\D", "", count.inner_text().split("of")[0]))
    viewer.page.keyboard.press("Shift+Enter")
    until(lambda: re.sub(r"\D", "", count.inner_text().split("of")[0]) == str(line - 1))
    viewer.until_seen(line - 1)
    viewer.page.fill(".log-find", "line 2 |line 2499999 ")  # each by its place in the whole
    until(lambda: count.inner_text() == "2 of 2")
    viewer.page.fill(".log-find", "(")
    until(lambda: "pattern" in count.inner_text().lower() or "RE2" in count.inner_text())


def test_copies_have_the_text_and_no_numbers(viewer: Viewer, service: Service) -> None:
    job = service.run(r"printf 'one\n\033[31mtwo\033[0m \000 end\nthree\n'; seq 4 9")["ID"]
    viewer.open(job)
    viewer.until_seen(9)
    page = viewer.page
    page.evaluate(
        """() => {
          const texts = document.querySelectorAll(".log-text");
          const range = document.createRange();
          range.setStart(texts[0].querySelector("span").firstChild, 1);
          range.setEnd(texts[2].querySelector("span").firstChild, 3);
          getSelection().removeAllRanges();
          getSelection().addRange(range);
        }"""
    )
    page.keyboard.press("Control+c")
    assert page.evaluate("() => navigator.clipboard.readText()") == "ne\ntwo \0 end\nthr"
    page.locator(".log-row[data-line='2'] .log-number").click()
    assert page.evaluate("() => location.hash") == "#L2"
    page.locator(".log-row[data-line='4'] .log-number").click(modifiers=["Shift"])
    assert page.evaluate("() => location.hash") == "#L2-L4"
    assert page.locator(".log-chosen").count() == 3
    until(lambda: page.evaluate("() => navigator.clipboard.readText()").endswith("#L2-L4"))


def test_a_growing_log_is_followed_and_never_steals_the_scroll(
    viewer: Viewer, service: Service, gate: Gate
) -> None:
    job = service.submit(
        f"seq 1 300; for i in 1 2 3; do read -r _ < {gate}; seq $((i * 1000)) $((i * 1000 + 300)); done"
    )
    assert lines(service, job, 300)[-1] == "300"
    viewer.open(job)
    viewer.until_seen(300)
    gate.open()
    viewer.until_seen(601)
    viewer.page.locator(".log-viewport").hover()
    viewer.page.mouse.wheel(0, -400)
    until(lambda: viewer.status().get("following") is False)
    until(lambda: viewer.seen() == viewer.seen())
    seen = viewer.seen()
    gate.open()
    until(lambda: viewer.page.locator(".log-new").is_visible())
    until(lambda: viewer.page.locator(".log-new").inner_text().startswith("301 new lines"))
    assert viewer.seen() == seen
    viewer.page.locator(".log-new").click()
    viewer.until_seen(902)
    gate.open()
    viewer.until_seen(1203)
    service.wait(job)
    until(lambda: viewer.status().get("finished") is True)
    until(lambda: viewer.page.locator(".log-at-end").count() == 1)


def test_hostile_output_is_shown_and_never_run(viewer: Viewer, service: Service) -> None:
    view = service.run(
        r"printf '<script>alert(1)</script>\n<img src=x onerror=alert(2)>\n';"
        r"printf '\033]8;;javascript:alert(3)\033\\click\033]8;;\033\\\n';"
        r"printf '\033]8;;https://example.org/a\033\\there\033]8;;\033\\\n';"
        r"printf 'abc \342\200\256gpj.exe\n\000nul\n\377\376 bytes\n10%%\r100%%\n';"
        "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo last"
    )
    viewer.open(view["ID"], "#L1")
    viewer.until_seen(1)
    page = viewer.page
    texts = page.locator(".log-text").all_inner_texts()[:8]
    assert texts[:3] == ["<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "click"]
    assert page.locator(".log-text a").evaluate_all("(all) => all.map((each) => each.href)") == [
        "https://example.org/a"
    ]
    assert "U+202E" in texts[4]
    assert texts[5].startswith("\u2400")
    assert texts[6] == "\ufffd\ufffd bytes"
    assert texts[7] == "100%"
    assert page.locator(".log-text script, .log-text img").count() == 0
    long = page.locator(".log-more").first
    assert "more characters" in long.inner_text()
    assert max(len(text) for text in page.locator(".log-text").all_inner_texts()) < 5000
    long.click()
    until(lambda: max(len(text) for text in page.locator(".log-text").all_inner_texts()) > 60_000)
    viewer.press("End")
    until(lambda: "last" in viewer.rows())


def test_streams_time_and_wrap_are_toggles(viewer: Viewer, service: Service) -> None:
    job = service.run(
        "for i in 1 2 3; do echo out $i; echo err $i >&2; done; head -c 3000 /dev/zero | tr '\\0' x; echo"
    )["ID"]
    viewer.open(job)
    until(lambda: len(viewer.rows()) == 7)
    page = viewer.page
    page.get_by_label("stderr").uncheck()
    until(lambda: {text[:3] for text in viewer.rows()} == {"out", "xxx"})
    page.get_by_label("stdout").uncheck()
    until(lambda: {text[:3] for text in viewer.rows()} == {"err"})
    assert page.get_by_label("stderr").is_checked()
    page.get_by_label("stdout").check()
    until(lambda: len(viewer.rows()) == 7)
    width = "() => document.querySelector('.log-viewport').scrollWidth"
    wide = page.evaluate(width)
    page.get_by_label("wrap").check()
    assert page.evaluate(width) < wide
    assert not page.locator(".log-time").first.is_visible()
    page.get_by_label("time").check()
    assert page.locator(".log-time").first.is_visible()


def test_a_link_to_what_isn_t_there_shows_the_end_and_says_so(
    viewer: Viewer, service: Service
) -> None:
    job = service.run("seq 1 300")["ID"]
    viewer.open(job, "#L5000")
    viewer.until_seen(300)
    viewer.open(job, "#o=99999999")
    viewer.until_seen(300)
    until(lambda: "beyond" in viewer.page.locator(".log-said").inner_text().lower())
    viewer.page.evaluate("() => { location.hash = '#L7'; }")
    viewer.until_seen(7)
    viewer.page.evaluate("() => window.viewer.destroy()")
    assert viewer.page.locator(".log-row").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_in_the_way_of_anybody(browser: Any, service: Service, scheme: str) -> None:
    colours = (
        r"for n in 0 1 2 3 4 5 6 7; do printf '\033[3%dmcolour\033[9%dmbright\033[0m\n' $n $n; done"
    )
    job = service.run(f"{colours}; echo err >&2; printf 'rlo \\342\\200\\256\n'")["ID"]
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    viewer = Viewer(context.new_page(), service)
    try:
        viewer.open(job)
        viewer.until_seen(1)
        viewer.page.fill(".log-find", "colour|err")
        until(lambda: "of" in viewer.page.locator(".log-count").inner_text())
        assert axe_findings(viewer.page, ".log") == []
    finally:
        context.close()
