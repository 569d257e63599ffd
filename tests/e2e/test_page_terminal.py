"""The terminal in the page of a job: typed into, resized, watched, and cut off."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from chromium import IN_A_BROWSER, axe_findings, driver, opened, too_wide
from gates import lines
from running import Service, running

from service.access import tokens
from service.access.scopes import Scope

expect = driver().expect
pytestmark = IN_A_BROWSER
WORKERS = 2

WORDS = "stty -echo; echo ready; for n in $(seq {n}); do read -r x; echo got $n $x; done; exit 3"
# What the browser says of connections that a dead worker leaves.
CUT = ("WebSocket", "net::ERR")


def see(page: Any, service: Service, job_id: str) -> None:
    page.goto(f"{service.url}/{job_id}")
    expect(page.locator(".terminal-state")).to_contain_text("Connected")


def screen(page: Any) -> Any:
    return page.locator(".xterm-rows")


def type_line(page: Any, text: str) -> None:
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_what_is_typed_and_pasted_reaches_the_job(browser: Any, service: Service) -> None:
    job_id = service.submit({"CommandLine": "echo ready; cat > typed; echo over", "TTY": {}})
    assert lines(service, job_id, 1) == ["ready"]
    with opened(browser, service, permissions=["clipboard-read", "clipboard-write"]) as page:
        see(page, service, job_id)
        expect(screen(page)).to_contain_text("ready")
        type_line(page, "Grüße <b>")
        expect(screen(page)).to_contain_text("Grüße <b>")
        page.keyboard.press("Control+Shift+ArrowUp")
        expect(page.get_by_role("tab", name="Terminal")).to_be_focused()
        page.locator(".xterm-screen").click()
        page.evaluate("navigator.clipboard.writeText('pasted ☃ text')")
        page.keyboard.press("Control+Shift+V")
        expect(screen(page)).to_contain_text("pasted ☃ text")
        page.keyboard.press("Enter")
        page.keyboard.press("Control+D")
        expect(page.locator(".terminal-state")).to_contain_text("has ended")
        expect(page.locator(".job-header .state")).to_contain_text("Exit 0")
        expect(screen(page)).to_contain_text("over")
        assert axe_findings(page) == []
    assert service.client.get(f"/{job_id}/files/typed").text == "Grüße <b>\npasted ☃ text\n"


def test_the_job_has_the_size_that_is_seen(browser: Any, service: Service) -> None:
    line = "echo ready; while read -r x && [ $x = size ]; do stty size; done"
    job_id = service.submit({"CommandLine": line, "TTY": {}})
    assert lines(service, job_id, 1) == ["ready"]
    with opened(browser, service, viewport={"width": 900, "height": 600}) as page:
        see(page, service, job_id)
        for width, height in ((900, 600), (1200, 800), (360, 700)):
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator(".xterm-screen")).to_be_visible()
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
            rows = screen(page).locator("> div").count()
            type_line(page, "size")
            answer = screen(page).locator("> div").filter(has_text=re.compile(rf"^{rows} \d+\s*$"))
            expect(answer).to_have_count(1)
            assert too_wide(page) == []
        type_line(page, "quit")
        expect(page.locator(".terminal-state")).to_contain_text("has ended")
    sizes = re.findall(rb"^(\d+) (\d+)\r$", service.output(job_id), re.MULTILINE)
    columns = [int(cols) for _, cols in sizes]
    assert columns[2] < columns[0] < columns[1]


def test_no_byte_is_lost_or_doubled_when_workers_die(browser: Any, service: Service) -> None:
    job_id = service.submit({"CommandLine": WORDS.format(n=12), "TTY": {}})
    assert lines(service, job_id, 1) == ["ready"]
    received = bytearray()
    connections = []

    def connected(socket: Any) -> None:
        connections.append(socket.url)
        socket.on("framereceived", took)

    def took(payload: bytes) -> None:
        if payload[0] in (1, 2):
            received.extend(payload[1:])

    with opened(browser, service, expected=CUT) as page:
        page.on("websocket", connected)
        see(page, service, job_id)
        for n in range(1, 13):
            if n in (5, 9):
                ready = len(service.worker_pids())
                for pid in service.worker_pids()[-2:]:
                    os.kill(pid, signal.SIGKILL)
                expect(page.locator(".terminal-state.open")).to_have_count(0)
                if n == 5:
                    type_line(page, f"word-{n}")  # it waits for the next connection
                service.wait_for_line("worker_ready", ready + 2)
                expect(page.locator(".terminal-state")).to_contain_text("Connected")
            if n != 5:
                type_line(page, f"word-{n}")
            expect(screen(page)).to_contain_text(f"got {n} word-{n}")
        expect(page.locator(".terminal-state")).to_contain_text("has ended")
        expect(page.locator(".live.on")).to_be_visible()
        expect(page.locator(".job-header .state")).to_contain_text("Exit 3")
    assert len(connections) >= 3
    assert bytes(received) == service.output(job_id)


def test_what_is_typed_into_dying_workers_reaches_the_job_once(
    browser: Any, service: Service
) -> None:
    """Nobody waits for a connection to type: keys are lost on the way, or their answers are."""
    job_id = service.submit({"CommandLine": "stty -echo; echo ready; cat > typed", "TTY": {}})
    assert lines(service, job_id, 1) == ["ready"]
    text = "".join(f"line {n} of what is typed, ü\n" for n in range(60))
    with opened(browser, service, expected=CUT) as page:
        see(page, service, job_id)
        for at in range(0, len(text), 7):
            page.keyboard.type(text[at : at + 7])
            if at % 210 == 140:  # seven times, at once behind a key
                ready = len(service.worker_pids())
                for pid in service.worker_pids()[-2:]:
                    os.kill(pid, signal.SIGKILL)
                page.keyboard.type(f"<{at}>")
                service.wait_for_line("worker_ready", ready + 2)
        expect(page.locator(".terminal-state")).to_contain_text("Connected")
        page.keyboard.press("Enter")
        page.keyboard.press("Control+D")
        expect(page.locator(".terminal-state")).to_contain_text("has ended")
    whole = "".join(
        text[at : at + 7] + (f"<{at}>" if at % 210 == 140 else "") for at in range(0, len(text), 7)
    )
    assert service.client.get(f"/{job_id}/files/typed").text == whole + "\n"


def test_keys_typed_before_the_output_is_replayed_are_not_lost(
    browser: Any, service: Service
) -> None:
    line = "seq 100000; stty -echo; echo ready; cat > typed"
    job_id = service.submit({"CommandLine": line, "TTY": {}})
    assert lines(service, job_id, 100_001)[-1] == "ready"
    with opened(browser, service) as page:
        page.goto(f"{service.url}/{job_id}")
        page.locator(".xterm-helper-textarea").focus()
        type_line(page, "early words")
        expect(page.locator(".terminal-state")).to_contain_text("Connected")
        page.keyboard.press("Control+D")
        expect(page.locator(".terminal-state")).to_contain_text("has ended")
    assert service.client.get(f"/{job_id}/files/typed").text == "early words\n"


def test_links_of_the_output_lead_nowhere(browser: Any, service: Service) -> None:
    link = r"printf '\033]8;;http://evil.example/\007press here\033]8;;\007\n\033]0;<title>\007'; echo ready; read -r x"
    job_id = service.submit({"CommandLine": link, "TTY": {}})
    with opened(browser, service) as page:
        see(page, service, job_id)
        expect(screen(page)).to_contain_text("ready")
        box = screen(page).get_by_text("press here", exact=True).bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + 5)
        page.mouse.click(box["x"] + 24, box["y"] + 6)
        assert len(page.context.pages) == 1
        assert "<title>" not in page.title()
        page.keyboard.press("Enter")
        expect(page.locator(".terminal-state")).to_contain_text("has ended")


def test_a_terminal_is_replayed_without_being_answered_again(
    browser: Any, service: Service
) -> None:
    # A program asks where the cursor is; the terminal of the page answers, as if it was typed.
    line = (
        "stty raw -echo; printf '\\033[6n'; IFS= read -rd R first; echo asked; IFS= read -rd . all;"
        ' stty sane; printf \'%q\\n\' "$first" "$all"'
    )
    job_id = service.submit({"CommandLine": line, "TTY": {}, "Hold": True})
    with opened(browser, service) as page:
        see(page, service, job_id)
        assert service.client.post(f"/{job_id}/release", json={}).status_code == 200
        expect(screen(page)).to_contain_text("asked")
        page.reload()
        expect(page.locator(".terminal-state")).to_contain_text("Connected")
        expect(screen(page)).to_contain_text("asked")
        page.keyboard.type("x.")
        expect(page.locator(".terminal-state")).to_contain_text("has ended")
    assert service.output(job_id).endswith(b"\r\nx\r\n")


def test_who_may_not_type_watches(browser: Any, state_dir: Any) -> None:
    with running(state_dir) as service:
        token = tokens.create(state_dir, "ann", [Scope.RUN])[1]
        headers = {"Authorization": f"Bearer {token}"}
        job_id = service.submit({"CommandLine": WORDS.format(n=1), "TTY": {}}, **headers)
        tokens.revoke(state_dir, "ann")
        token = tokens.create(state_dir, "ann", [Scope.READ])[1]
        service.client.headers["Authorization"] = f"Bearer {token}"
        assert lines(service, job_id, 1) == ["ready"]
        with opened(browser, service, expected=("401",)) as page:
            page.goto(f"{service.url}/{job_id}")
            page.locator("input[type=password]").fill(token)
            page.keyboard.press("Enter")
            expect(page.locator(".terminal-state")).to_contain_text("You watch")
            expect(screen(page)).to_contain_text("ready")
            expect(page.locator(".who-what")).to_contain_text("by ann")
            page.locator(".screen").click()
            type_line(page, "never")
            for action in ("Rerun", "Kill", "Clean"):
                expect(page.locator(".job-acts").get_by_role("button", name=action)).to_have_count(
                    0
                )
            page.get_by_role("tab", name="Details").click()
            expect(page.locator(".job-details .shell")).not_to_contain_text("rerun")
        assert service.output(job_id, follow="false") == b"ready\r\n"
        tokens.revoke(state_dir, "ann")
        token = tokens.create(state_dir, "ann", [Scope.RUN])[1]
        service.client.headers["Authorization"] = f"Bearer {token}"
        service.kill(job_id, grace=0)
