"""The form for a new job, in a real browser: what is filled in is what the service gets."""

from __future__ import annotations

import re
from typing import Any

import pytest
from chromium import IN_A_BROWSER, axe_findings, driver, opened, too_wide
from running import Service

expect = driver().expect
pytestmark = IN_A_BROWSER
# What the browser itself says of an answer that isn't 2xx.
REFUSED = ("Failed to load resource",)


def job_of(page: Any, service: Service) -> dict[str, Any]:
    """The job whose page the form leads to."""
    page.wait_for_url(re.compile(r"/[0-9a-f-]{36}$"))
    return service.wait(page.url.rpartition("/")[2])


def test_one_command_runs(browser: Any, service: Service) -> None:
    with opened(browser, service) as page:
        page.goto(f"{service.url}/#new")
        field = page.get_by_label("Command line")
        expect(field).to_be_focused()
        field.fill("echo from the form")
        field.press("Control+Enter")
        view = job_of(page, service)
        assert view["ExitCode"] == 0
        assert service.output(view["ID"]) == b"from the form\n"


def test_all_that_a_job_can_have_gets_there(browser: Any, service: Service) -> None:
    with opened(browser, service) as page:
        page.goto(f"{service.url}/#new")
        page.get_by_label("Command line").fill('echo "$A $B"; exit 3')
        page.get_by_text("More of this command").click()
        page.get_by_label("Variables").first.fill("B=of the command")
        page.get_by_label("Go on with the next command").check()
        page.get_by_role("button", name="Add a command").click()
        page.get_by_label("Command line").nth(1).fill("pwd")
        page.get_by_label("Name", exact=True).fill("filled in")
        page.get_by_label("Labels").fill("team=db\nurl=http://x/?a=b")
        page.get_by_text("More", exact=True).click()
        page.locator("#field-WorkingDir").fill("below")
        page.locator("#field-Environment").fill("A=of the job")
        page.get_by_label("Timeout", exact=True).fill("10m")
        page.get_by_label("Timeout without output").fill("2h")
        page.get_by_label("Timeout while pending").fill("1d")
        page.get_by_label("Grace of a kill").fill("2.5")
        page.get_by_label("Priority").fill("-3")
        page.get_by_label("Input").select_option("stdin")
        page.get_by_label("Processes").fill("50")
        page.get_by_label("Size of a file").fill("5M")
        page.get_by_label("Output that is kept").fill("1 MiB")
        page.get_by_role("button", name="Run", exact=True).click()
        view = job_of(page, service)
        assert service.output(view["ID"]).startswith(b"of the job of the command\n/")
    wanted = {
        "Name": "filled in",
        "Labels": {"team": "db", "url": "http://x/?a=b"},
        "Timeout": 600,
        "IdleTimeout": 7200,
        "QueueTimeout": 86400,
        "Grace": 2.5,
        "Priority": -3,
        "Stdin": True,
        "ExitCode": 0,
    }
    assert {key: view[key] for key in wanted} == wanted
    assert view["WorkingDir"].endswith("/below")
    assert (view["Limits"]["PIDs"], view["Limits"]["FileSize"]) == (50, 5 << 20)
    assert [c["ExitCode"] for c in view["Commands"]] == [3, 0]


def test_a_container_and_a_terminal_can_be_asked_for(browser: Any, service: Service) -> None:
    with opened(browser, service, expected=REFUSED) as page:
        page.goto(f"{service.url}/#new")
        page.get_by_label("Runs in").select_option("docker")
        page.get_by_label("Image", exact=True).fill("no such image!")
        page.get_by_label("Command line").fill("true")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("#field-Commands-0-Image-told")).to_contain_text("xpected")
        page.get_by_label("Runs in").select_option("bash")
        page.get_by_label("Command line").fill("stty size")
        page.get_by_text("More", exact=True).click()
        page.get_by_label("Input").select_option("tty")
        page.get_by_label("Rows").fill("30")
        page.get_by_label("Columns").fill("100")
        page.get_by_role("button", name="Run", exact=True).click()
        assert service.output(job_of(page, service)["ID"]) == b"30 100\r\n"


def test_errors_stand_at_their_fields(browser: Any, service: Service) -> None:
    with opened(browser, service, expected=REFUSED) as page:
        page.goto(f"{service.url}/#new")
        page.get_by_role("button", name="Run", exact=True).click()
        line = page.get_by_label("Command line")
        expect(line).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#field-Commands-0-CommandLine-told")).to_contain_text(
            "got an empty one"
        )
        line.fill("true")
        # One that is behind "More" opens it.
        page.get_by_text("More", exact=True).click()
        page.get_by_label("Priority").fill("1000")
        page.locator("#field-WorkingDir").fill("../out")
        page.get_by_text("More", exact=True).click()
        expect(page.get_by_label("Priority")).not_to_be_visible()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("#field-Priority-told .wrong, #field-WorkingDir-told .wrong").first).to_be_visible()  # fmt: skip
        assert axe_findings(page) == []
        page.get_by_label("Priority").fill("1")
        page.locator("#field-WorkingDir").fill("")
        # What the page itself can't read.
        page.get_by_label("Timeout", exact=True).fill("soon")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("#field-Timeout-told")).to_contain_text("Expected a duration")


def test_rerun_changes_what_is_changed_and_keeps_the_rest(browser: Any, service: Service) -> None:
    first = service.run(
        {
            "Commands": [{"CommandLine": 'echo "$SECRET"; pwd', "WorkingDir": "sub"}],
            "Environment": {"SECRET": "kept by the service"},
            "Name": "again",
            "Labels": {"a": "1", "b": "2"},
            "Timeout": 100,
        }
    )
    with opened(browser, service) as page:
        page.goto(f"{service.url}/#rerun={first['ID']}")
        expect(page.get_by_label("Name", exact=True)).to_have_value("again")
        expect(page.get_by_label("Command line")).to_have_value('echo "$SECRET"; pwd')
        page.get_by_label("Labels").fill("b=2\nc=3")
        page.get_by_text("More", exact=True).click()
        expect(page.get_by_label("Timeout", exact=True)).to_have_value("100")
        expect(page.get_by_text("Kept: SECRET")).to_be_visible()
        page.get_by_label("Timeout", exact=True).fill("")
        page.get_by_role("button", name="Run again", exact=True).click()
        view = job_of(page, service)
    assert view["ID"] != first["ID"]
    assert (view["Labels"], view["Timeout"], view["Name"]) == ({"b": "2", "c": "3"}, None, "again")
    secret, where = service.output(view["ID"]).decode().splitlines()
    assert secret == "kept by the service"
    assert where.endswith("/sub")
    assert view["ID"] in where


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_form_is_accessible_and_fits(
    browser: Any, service: Service, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, service, color_scheme=scheme, viewport=size) as page:
        page.goto(f"{service.url}/#new")
        page.get_by_role("button", name="Add a command").click()
        page.get_by_label("Runs in").first.select_option("docker")
        page.get_by_text("More of this command").first.click()
        page.get_by_text("More", exact=True).click()
        page.get_by_label("Input").select_option("tty")
        assert axe_findings(page) == []
        assert too_wide(page) == []
        sizes = page.evaluate("(() => { const d = document.querySelector('dialog'); return [d.scrollWidth, d.clientWidth]; })()")  # fmt: skip
        assert sizes[0] <= sizes[1]
