"""The list of jobs in a real browser: live, filtered, with what can be done to each job."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import stored_jobs
from chromium import IN_A_BROWSER, axe_findings, driver, opened, too_wide
from gates import Gate
from running import Service, running
from waiting import until

expect = driver().expect
pytestmark = IN_A_BROWSER

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "javascript:alert(1)",
    "a\u202egnp.exe\u2066\u200b\u0007b",
    "\u001b]8;;http://evil.example/\u0007link\u001b]8;;\u0007",
    "${alert(1)} {{alert(1)}}",
]


def row(page: Any, name: str) -> Any:
    return page.locator(".job").filter(has=page.get_by_role("link", name=name, exact=True))


def see(page: Any, service: Service, path: str = "/") -> None:
    page.goto(service.url + path)
    expect(page.locator(".live.on")).to_be_visible()


def test_a_job_appears_and_ends_without_a_reload(
    browser: Any, service: Service, gate: Gate
) -> None:
    with opened(browser, service) as page:
        see(page, service)
        page.evaluate("window.same = true")
        job_id = service.submit({"CommandLine": f"read -r _ < {gate}; exit 3", "Name": "appears"})
        expect(row(page, "appears").locator(".state")).to_contain_text("Running")
        gate.open()
        expect(row(page, "appears").locator(".state")).to_contain_text("Exit 3")
        assert page.evaluate("window.same")
        service.client.post(f"/{job_id}/clean")
        expect(row(page, "appears")).to_have_count(0)


def test_the_size_of_a_running_job_grows(browser: Any, service: Service, gate: Gate) -> None:
    with opened(browser, service) as page:
        see(page, service)
        line = f"seq 1000; read -r _ < {gate}; head -c 5000000 /dev/zero; read -r _ < {gate}"
        job_id = service.submit({"CommandLine": line, "Name": "grows"})
        size = row(page, "grows").locator(".size")
        expect(size).to_have_text("3.9 kB")
        gate.open()
        expect(size).to_have_text("5.0 MB")
        expect(row(page, "grows").locator(".state")).to_contain_text("Running")
        service.kill(job_id, grace=0)


def test_kill_and_clean_ask_first(browser: Any, service: Service) -> None:
    job_id = service.submit({"CommandLine": "sleep 1000", "Name": "mortal"})
    with opened(browser, service) as page:
        see(page, service)
        page.get_by_role("button", name="Kill mortal").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("dialog")).to_have_count(0)
        assert service.show(job_id)["State"] in ("pending", "running")
        page.get_by_role("button", name="Kill mortal").click()
        page.get_by_label("Signal").select_option("INT")
        page.get_by_label("Grace").fill("0.5")
        page.get_by_role("button", name="Kill", exact=True).click()
        expect(row(page, "mortal").locator(".state")).to_contain_text("Killed")
        expect(row(page, "mortal").locator(".reason")).to_have_text("on request")
        receipt = service.show(job_id)["Kill"]
        assert (receipt["Signal"], receipt["Grace"]) == ("SIGINT", 0.5)
        page.get_by_role("button", name="Clean mortal").click()
        page.get_by_role("button", name="Clean", exact=True).click()
        expect(row(page, "mortal")).to_have_count(0)
        assert service.client.get(f"/{job_id}").status_code == 404


def test_filters_select_and_count_and_stand_in_the_address(browser: Any, service: Service) -> None:
    label = {"Labels": {"set": "filters", "is": "one"}}
    for line in ("true", "exit 1", "exit 2"):
        service.run({"CommandLine": line, "Name": f"f {line}", **label})
    service.run({"CommandLine": "true", "Name": "other", "Labels": {"set": "filters"}})
    held = service.submit({"CommandLine": "true", "Name": "f held", "Hold": True, **label})
    with opened(browser, service) as page:
        see(page, service, "/?label=set%3Dfilters")
        expect(page.locator(".job")).to_have_count(5)
        page.get_by_role("button", name="Failed").click()
        expect(page.locator(".job")).to_have_count(2)
        expect(page.locator(".filter.failed .count")).to_have_text("2")
        expect(page.locator(".filter.all .count")).to_have_text("5")
        assert "state=exited&exit=nonzero" in page.url
        page.reload()
        expect(page.locator(".job")).to_have_count(2)
        page.get_by_role("button", name="Pending").click()
        expect(row(page, "f held").locator(".reason")).to_have_text("waits to be released")
        # A job leaves the filter that it fits no more.
        service.client.post(f"/{held}/release", json={})
        expect(page.get_by_text("No job matches")).to_be_visible()
        page.get_by_role("button", name="All").click()
        row(page, "f true").get_by_role("button", name="is=one").click()
        expect(page.locator(".job")).to_have_count(4)
        page.get_by_role("button", name="Remove the filter is=one").click()
        expect(page.locator(".job")).to_have_count(5)
        page.go_back()
        expect(page.locator(".job")).to_have_count(4)


def test_search_finds_names_commands_and_labels(browser: Any, service: Service) -> None:
    service.run({"CommandLine": "echo needle-in-a-command", "Labels": {"s": "1"}})
    service.run({"CommandLine": "true", "Name": "needle-in-a-name", "Labels": {"s": "2"}})
    with opened(browser, service) as page:
        see(page, service)
        search = page.get_by_label("Search jobs")
        search.fill("needle")
        expect(page.locator(".job")).to_have_count(2)
        search.fill("needle s=2")
        search.press("Enter")
        expect(page.locator(".job")).to_have_count(1)
        assert "label=s%3D2" in page.url
        expect(search).to_have_value("needle")


def test_the_keyboard_goes_through_the_list(browser: Any, service: Service) -> None:
    for n in range(3):
        service.run({"CommandLine": "true", "Name": f"key-{n}", "Labels": {"k": "1"}})
    with opened(browser, service) as page:
        see(page, service, "/?label=k%3D1")
        expect(page.locator(".job")).to_have_count(3)
        focused = page.locator(":focus")
        for key, name in (("n", "key-2"), ("n", "key-1"), ("N", "key-2"), ("G", "key-0"), ("g", "key-2")):  # fmt: skip
            page.keyboard.press(key)
            expect(focused).to_have_text(name)
        page.keyboard.press("?")
        expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
        page.keyboard.press("/")
        page.keyboard.type("n?c")
        expect(page.get_by_label("Search jobs")).to_have_value("n?c")
        page.keyboard.press("Escape")
        page.keyboard.press("c")
        expect(page.get_by_role("heading", name="New job")).to_be_visible()


def test_of_thousands_of_rows_a_few_are_drawn(browser: Any, state_dir: Path) -> None:
    stored_jobs.fill(state_dir, 3000)
    with running(state_dir) as service, opened(browser, service) as page:
        see(page, service)
        expect(page.locator(".job").first).to_be_visible()
        expect(page.locator(".filter.all .count")).to_have_text("3\u202f000")
        # Each page is asked for when its end comes into sight.
        last = page.get_by_role("link", name="00000000").last
        href = f"/00000000-0000-4000-8000-{0:012x}"

        def is_at_the_end() -> bool:
            page.keyboard.press("G")
            return last.get_attribute("href") == href

        until(is_at_the_end)
        assert page.locator(".job").count() < 100
        page.reload()
        page.get_by_label("Search jobs").fill(href.removeprefix("/"))
        expect(page.locator(".job")).to_have_count(1)
        page.get_by_label("Search jobs").fill("nothing has this")
        expect(page.get_by_text("No job matches")).to_be_visible()
        page.get_by_label("Search jobs").fill("")
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        expect(page.get_by_role("link").nth(1)).to_have_attribute(
            "href", f"/00000000-0000-4000-8000-{2999:012x}"
        )


def test_what_others_have_named_is_shown_and_never_run(browser: Any, service: Service) -> None:
    ids = [
        service.run({"CommandLine": f"true # {text}", "Name": text, "Labels": {"h": text[:200], text[:60].replace("=", ""): "x"}})["ID"]
        for text in HOSTILE
    ]  # fmt: skip
    with opened(browser, service) as page:
        see(page, service)
        for job_id in ids:
            name = page.locator(f'a[href="/{job_id}"]')
            expect(name).to_be_visible()
        assert page.locator(".job script, .job img, .job svg").count() == 0
        shown = page.locator("main").inner_text()
        assert "<script>alert(1)</script>" in shown
        assert "a[U+202E]gnp.exe[U+2066][U+200B]␇b" in shown
        assert not {"\u202e", "\u2066", "\u200b", "\u0007", "\u001b"} & set(shown)
        assert too_wide(page) == []
        page.get_by_role("button", name="Rerun").first.click()
        expect(page.get_by_role("heading", name="Rerun")).to_be_visible()


# ---------------------------------------------------------------------------------- a new service


def test_an_empty_service_shows_commands_that_work(browser: Any, state_dir: Path) -> None:
    with running(state_dir) as service:
        with opened(browser, service, permissions=["clipboard-read", "clipboard-write"]) as page:
            see(page, service)
            expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
            assert axe_findings(page) == []
            page.locator(".copyable button").last.click()
            expect(page.locator(".copyable button").last).to_have_text("Copied")
            line = page.evaluate("navigator.clipboard.readText()")
            assert line.startswith("curl ")
            subprocess.run(["sh", "-c", line], check=True, capture_output=True, timeout=300)
            expect(page.locator(".job")).to_have_count(1)
            expect(page.get_by_role("heading", name="No jobs yet")).to_have_count(0)


# ---------------------------------------------------------------------------------- for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_list_is_accessible_and_fits(
    browser: Any, service: Service, scheme: str, width: int
) -> None:
    service.run({"CommandLine": "exit 4", "Name": "x" * 200, "Labels": {"l" * 60: "v" * 200}})
    service.run({"Commands": [{"CommandLine": "true"}] * 3, "Name": "three"})
    held = service.submit({"CommandLine": "true " + "y" * 500, "Hold": True})
    size = {"width": width, "height": 800}
    with opened(browser, service, color_scheme=scheme, viewport=size) as page:
        see(page, service)
        expect(page.locator(f'a[href="/{held}"]')).to_be_visible()
        assert axe_findings(page) == []
        assert too_wide(page) == []
        page.get_by_role("button", name=f"Kill {held[:8]}").click()
        assert axe_findings(page) == []
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
        page.get_by_role("button", name="theme").click()
        other = "dark" if scheme == "light" else "light"
        assert page.evaluate("document.documentElement.dataset.theme") == other
        assert axe_findings(page) == []
        page.reload()
        expect(page.locator(".job").first).to_be_visible()
        assert page.evaluate("document.documentElement.dataset.theme") == other
    service.kill(held)


def test_without_javascript_the_list_and_the_output_are_there(
    browser: Any, service: Service
) -> None:
    job_id = service.run({"CommandLine": "printf '<b>bold\\n'", "Name": "plain"})["ID"]
    for scheme in ("light", "dark"):
        with opened(browser, service, java_script_enabled=False, color_scheme=scheme) as page:
            page.goto(f"{service.url}/?name=plain")
            page.get_by_role("link", name="plain").click()
            assert page.url == f"{service.url}/{job_id}"
            expect(page.locator("pre")).to_have_text("<b>bold\n")
            page.get_by_role("link", name="jobrunner").click()
            expect(page.get_by_role("link", name="running")).to_be_visible()
