"""The page of a job in a real browser: live, with what can be done, its commands, files and details."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import IN_A_BROWSER, axe_findings, driver, opened, too_wide
from gates import Gate, lines
from running import Service

expect = driver().expect
pytestmark = IN_A_BROWSER

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe\u2066"


@pytest.fixture
def page(browser: Any, service: Service) -> Iterator[Any]:
    with opened(browser, service, accept_downloads=True) as page:
        yield page


def see(page: Any, service: Service, job_id: str, fragment: str = "") -> None:
    page.goto(f"{service.url}/{job_id}{fragment}")
    expect(page.locator(".live.on")).to_be_visible()
    expect(page.locator(".job-header")).to_be_visible()


def state(page: Any) -> Any:
    return page.locator(".job-header .state")


def three_commands(gate: Gate) -> dict[str, Any]:
    return {
        "Name": "nightly",
        "Labels": {"team": "db"},
        "Environment": {"SECRET": "value-of-it"},
        "Commands": [
            {"CommandLine": "echo first; seq 1 500"},
            {"CommandLine": f"echo second; read -r _ < {gate}; echo oops >&2; exit 2"},
            {"CommandLine": "echo third"},
        ],
    }


def test_a_job_ends_on_the_page_without_a_reload(page: Any, service: Service, gate: Gate) -> None:
    job_id = service.submit(three_commands(gate))
    assert "first" in lines(service, job_id, 1)
    see(page, service, job_id)
    page.evaluate("window.same = true")
    expect(state(page)).to_contain_text("Running")
    expect(page.locator(".timeline li.running")).to_contain_text("second")
    gate.open()
    expect(state(page)).to_contain_text("Exit 2")
    expect(page.locator(".summary")).to_contain_text("failed after")
    expect(page.locator(".timeline li.failed")).to_contain_text("exit 2")
    expect(page.locator(".timeline li.skipped")).to_have_count(1)
    expect(page.locator(".job-acts").get_by_role("button", name="Kill")).to_have_count(0)
    assert page.evaluate("window.same")
    assert page.title() == "✕ nightly · jobrunner"


def test_a_job_that_waits_for_input_says_so(page: Any, service: Service, gate: Gate) -> None:
    line = f"read -r first; echo $first; exec 3< {gate}; read -r _ <&3"
    job_id = service.submit({"CommandLine": line, "Stdin": True})
    see(page, service, job_id)
    expect(state(page)).to_contain_text("Waits for input")
    assert service.client.post(f"/{job_id}/stdin", content=b"one\n").status_code == 200
    expect(state(page)).to_contain_text("Running")
    gate.open()
    expect(state(page)).to_contain_text("Exit 0")


@pytest.mark.parametrize(("signal", "grace"), [("TERM", "600"), ("INT", ""), ("KILL", None)])
def test_a_kill_is_asked_about_and_its_receipt_is_shown(
    page: Any, service: Service, gate: Gate, signal: str, grace: str | None
) -> None:
    job_id = service.submit({"CommandLine": f"exec bash -c 'echo; read -r _ < {gate}'"})
    assert lines(service, job_id, 1) == [""]
    see(page, service, job_id)
    page.locator(".job-acts").get_by_role("button", name="Kill").click()
    page.locator(".choices").get_by_role("button", name=signal).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert axe_findings(page) == []
    dialog.get_by_role("button", name="Cancel").click()
    assert service.show(job_id)["State"] == "running"
    page.locator(".job-acts").get_by_role("button", name="Kill").click()
    page.locator(".choices").get_by_role("button", name=signal).click()
    if grace:
        dialog.get_by_label("Grace").fill(grace)
    dialog.get_by_role("button", name=f"Send {signal}").click()
    expect(state(page)).to_contain_text("Killed")
    expect(page.locator(".receipt")).to_contain_text(f"SIG{signal} to")
    expect(page.locator(".receipt")).to_contain_text("all seen gone")
    assert service.show(job_id)["Kill"]["Signal"] == f"SIG{signal}"


def test_clean_leads_to_the_list_and_others_are_told(
    page: Any, browser: Any, service: Service
) -> None:
    job_id = service.run("true")["ID"]
    see(page, service, job_id)
    with opened(browser, service) as other:
        see(other, service, job_id)
        page.get_by_role("button", name="Clean").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert axe_findings(page) == []
        page.get_by_role("dialog").get_by_role("button", name="Clean").click()
        page.wait_for_url(f"{service.url}/")
        expect(other.get_by_role("alert")).to_contain_text("was cleaned")
    assert service.client.get(f"/{job_id}").status_code == 404


def test_rerun_opens_the_form_with_the_job(page: Any, service: Service) -> None:
    job_id = service.run({"CommandLine": "echo again", "Name": "again"})["ID"]
    see(page, service, job_id)
    page.get_by_role("button", name="Rerun").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Command line")).to_have_value("echo again")
    dialog.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: job_id not in url)
    expect(state(page)).to_contain_text("Exit 0")
    expect(page.get_by_role("heading", name="again")).to_be_visible()


def test_a_held_job_is_released(page: Any, service: Service) -> None:
    job_id = service.submit({"CommandLine": "echo let go", "Hold": True})
    see(page, service, job_id)
    expect(state(page)).to_contain_text("Held")
    page.get_by_role("button", name="Release").click()
    expect(state(page)).to_contain_text("Exit 0")


def download(page: Any, choose: Any) -> tuple[str, bytes]:
    with page.expect_download() as waited:
        choose()
    return waited.value.suggested_filename, Path(waited.value.path()).read_bytes()


def test_downloads(page: Any, service: Service) -> None:
    line = "echo out; echo err >&2; printf 'a.b\\n'; echo hi > made"
    job_id = service.run({"CommandLine": line, "Name": "../x y"})["ID"]
    see(page, service, job_id)

    def chosen(name: str) -> Any:
        page.get_by_role("button", name="Download").click()
        return page.get_by_role("link", name=name, exact=True).click

    assert sorted(download(page, chosen("All output"))[1].split()) == [b"a.b", b"err", b"out"]
    name, content = download(page, chosen("Standard output"))
    assert (name.endswith("x y.stdout.log"), content) == (True, b"out\na.b\n")
    assert download(page, chosen("Standard error"))[1] == b"err\n"
    archive = download(page, chosen("Files, as tar.gz"))[1]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert any(member.endswith("made") for member in tar.getnames())


def test_lines_that_match_are_downloaded(browser: Any, service: Service) -> None:
    job_id = service.run("printf 'one\\nTwo\\nthree\\n'")["ID"]
    with opened(browser, service, expected=("400",)) as page:
        see(page, service, job_id)

        def ask(pattern: str) -> Any:
            page.get_by_role("button", name="Download").click()
            page.get_by_role("button", name="Lines that match").click()
            page.get_by_label("Pattern").fill(pattern)
            return page.get_by_role("dialog").get_by_role("button", name="Download").click

        ask("(")()
        expect(page.get_by_role("alert")).to_contain_text("regular expression")
        page.keyboard.press("Escape")
        choose = ask("^t")
        page.get_by_label("Upper and lower case").check()
        name, content = download(page, choose)
        assert name.endswith(".matching.log")
        assert content == b"Two\nthree\n"


def copied_lines(page: Any) -> dict[str, str]:
    page.get_by_role("button", name="Copy", exact=True).first.click()
    return {
        line.inner_text(): line.get_attribute("data-line")
        for line in page.locator(".choices [data-line]").all()
    }


def test_copied_lines_run(browser: Any, service: Service) -> None:
    job_id = service.run({"CommandLine": "echo it says", "Name": "it's $(false)"})["ID"]
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # noqa: TID251 - what a person's shell would pass
    with opened(browser, service, permissions=["clipboard-read", "clipboard-write"]) as page:
        see(page, service, job_id)
        every = copied_lines(page)
        assert len(every) == 10
        for name, line in every.items():
            page.locator(
                f".choices [data-line={line!r}]"
                if '"' in line
                else f'.choices [data-line="{line}"]'
            ).click()
            assert page.evaluate("navigator.clipboard.readText()") == line
            done = subprocess.run(
                ["bash", "-c", line], env=tools, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (name, line, done.stderr)
            if name.startswith(("Attach", "Logs")):
                assert done.stdout == "it says\n"


def test_a_command_leads_to_its_output(page: Any, service: Service, gate: Gate) -> None:
    job_id = service.submit(three_commands(gate))
    gate.open()
    service.wait(job_id)
    see(page, service, job_id, "#details")
    bars = page.get_by_role("list", name="Commands").get_by_role("button")
    expect(bars.nth(2)).to_be_disabled()
    bars.nth(1).press("Enter")
    expect(page.get_by_role("tab", name="Output")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".log-host").get_by_text("second", exact=False).first).to_be_in_viewport()
    expect(page.locator(".tab-row .note")).to_contain_text("command 2")


def test_a_command_without_output_says_so(page: Any, service: Service) -> None:
    job_id = service.run({"Commands": [{"CommandLine": "true"}, {"CommandLine": "echo x"}]})["ID"]
    see(page, service, job_id)
    page.get_by_role("list", name="Commands").get_by_role("button").first.click()
    expect(page.locator(".tab-row .note")).to_contain_text("Command 1 wrote nothing")


def test_files_are_looked_through_and_downloaded(page: Any, service: Service) -> None:
    line = "mkdir -p 'out/a b%2F#?'; echo deep > 'out/a b%2F#?/x'; ln -s out way; mkfifo pipe; echo top > top.txt"
    job_id = service.run(line)["ID"]
    see(page, service, job_id)
    page.get_by_role("tab", name="Files").click()
    files = page.locator(".job-files")
    assert download(page, files.get_by_role("link", name="top.txt").click) == ("top.txt", b"top\n")
    expect(files.get_by_role("link", name="pipe")).to_have_count(0)
    files.get_by_role("link", name="out", exact=True).click()
    files.get_by_role("link", name="a b%2F#?", exact=True).click()
    assert download(page, files.get_by_role("link", name="x", exact=True).click) == ("x", b"deep\n")
    page.reload()
    expect(files.get_by_role("link", name="x", exact=True)).to_be_visible()
    archive = download(page, files.get_by_role("link", name="Download as tar.gz").click)[1]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert any(member.endswith("x") for member in tar.getnames())
    files.get_by_role("link", name="Files").click()
    expect(files.get_by_role("link", name="out", exact=True)).to_be_visible()
    page.go_back()
    expect(files.get_by_role("link", name="x", exact=True)).to_be_visible()


def test_links_lead_where_they_lead(browser: Any, service: Service) -> None:
    line = (
        "mkdir dir; echo x > dir/file; ln -s dir way; ln -s dir/file copy; ln -s /etc/passwd leak"
    )
    job_id = service.run(line)["ID"]
    with opened(browser, service, expected=("403",)) as page:
        see(page, service, job_id, "#files")
        files = page.locator(".job-files")
        link = files.get_by_role("link", name="copy", exact=True)
        assert download(page, link.click) == ("copy", b"x\n")
        files.get_by_role("link", name="leak", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("leads to nothing in this directory")
        files.get_by_role("link", name="way", exact=True).click()
        expect(files.get_by_role("link", name="file", exact=True)).to_be_visible()


def test_details_say_all_but_values_of_variables(page: Any, service: Service, gate: Gate) -> None:
    job_id = service.submit(three_commands(gate) | {"Timeout": 3600})
    gate.open()
    view = service.wait(job_id)
    see(page, service, job_id, "#details")
    text = page.locator(".job-details").inner_text()
    for part in (job_id, "team=db", "SECRET", "1h 00m", view["CreatedAt"], "exit 2", "oops"):
        assert part in text
    assert "value-of-it" not in page.content()


def test_what_a_running_job_uses_is_drawn(page: Any, service: Service, gate: Gate) -> None:
    job_id = service.submit({"CommandLine": f"echo; read -r _ < {gate}"})
    assert lines(service, job_id, 1) == [""]
    see(page, service, job_id, "#details")
    expect(page.locator(".usage canvas")).to_be_visible()
    expect(page.locator(".usage figcaption")).to_contain_text("CPUs")
    assert axe_findings(page) == []
    gate.open()
    expect(state(page)).to_contain_text("Exit 0")


def test_hostile_text_is_shown_and_never_run(page: Any, service: Service) -> None:
    name = HOSTILE.replace("\u202e", "\\u202e").replace("\u2066", "\\u2066")
    job_id = service.run(
        {
            "Name": HOSTILE,
            "Labels": {"evil": HOSTILE},
            "CommandLine": f"touch -- $'{name}'; echo {HOSTILE!r}",
        }
    )["ID"]
    for fragment in ("", "#files", "#details"):
        see(page, service, job_id, fragment)
        expect(page.locator("h1")).to_contain_text("<img src=x onerror=alert(1)>[U+202E]gnp.exe")
        if fragment == "#files":
            expect(page.locator(".job-files td.name").first).to_contain_text("[U+202E]")
        assert page.locator("img").count() == 0
        assert "\u202e" not in page.locator("body").inner_text().replace("\u202a", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_every_tab_is_accessible_and_fits(
    browser: Any, service: Service, gate: Gate, scheme: str, width: int
) -> None:
    job = three_commands(gate)
    job["Labels"]["a-long-label"] = "of-a-long-value" * 3
    job_id = service.submit(job)
    gate.open()
    service.wait(job_id)
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 700}}
    with opened(browser, service, **options) as page:
        for fragment in ("", "#files", "#details"):
            page.goto("about:blank")
            see(page, service, job_id, fragment)
            expect(page.locator(".panel:not([hidden])")).not_to_be_empty()
            assert too_wide(page) == []
            assert axe_findings(page) == []
        for menu in ("Copy", "Download"):
            page.locator(".job-acts").get_by_role("button", name=menu).click()
            assert too_wide(page) == []
            assert axe_findings(page) == []
            page.keyboard.press("Escape")
            expect(page.locator(".choices")).to_have_count(0)


def test_without_the_log_viewer_the_last_output_is_there(browser: Any, service: Service) -> None:
    job_id = service.run({"Commands": [{"CommandLine": "echo first"}, {"CommandLine": "echo x"}]})
    with opened(browser, service, expected=("net::ERR",)) as page:
        page.route("**/log/viewer.js", lambda route: route.abort())
        see(page, service, job_id["ID"])
        expect(page.locator("pre.output")).to_have_text("first\nx\n")
        page.get_by_role("list", name="Commands").get_by_role("button").nth(1).click()
        expect(page.locator("pre.output")).to_have_text("x\n")


def test_a_part_that_could_not_be_loaded_says_so_and_is_tried_again(
    browser: Any, service: Service
) -> None:
    job_id = service.run("echo text > file")["ID"]
    with opened(browser, service, expected=("net::ERR",)) as page:
        files, dialogs = "**/files/files.js", "**/dialogs/dialogs.js"
        for part in (files, dialogs):
            page.route(part, lambda route: route.abort())
        see(page, service, job_id)
        failed = page.get_by_role("alert").filter(has_text="couldn’t be loaded")
        page.get_by_role("tab", name="Files").click()
        with page.expect_request(files):
            failed.get_by_role("button", name="Try again").click()  # in vain
        expect(failed).to_be_visible()
        page.unroute(files)
        failed.get_by_role("button", name="Try again").click()
        expect(
            page.locator(".job-files").get_by_role("link", name="file", exact=True)
        ).to_be_visible()
        expect(failed).to_have_count(0)
        page.locator("body").press("?")
        expect(failed).to_be_visible()
        page.unroute(dialogs)
        failed.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("dialog")).to_be_visible()


def test_the_keyboard_reaches_all(page: Any, service: Service) -> None:
    job_id = service.run("echo x")["ID"]
    see(page, service, job_id)
    page.keyboard.press("3")
    expect(page.get_by_role("tab", name="Details")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Details").press("ArrowLeft")
    expect(page.get_by_role("tab", name="Files")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("this help")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.locator(".job-acts").get_by_role("button", name="Copy").press("Enter")
    expect(page.locator(".choices button").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".choices button").nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/$"))
