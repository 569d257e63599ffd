"""A job with a terminal, as callers see it."""

from __future__ import annotations

import json
from pathlib import Path

import pyte
import pytest
from gates import attached
from running import Service, again, running
from waiting import until

pytestmark = pytest.mark.e2e
WORKERS = 2

JOB = {"CommandLine": "stty size; echo $TERM", "TTY": {"Rows": 30, "Cols": 100}}


def finished(service: Service, job_id: str) -> str:
    """Its output, when it has ended by itself."""
    view = service.wait(job_id)
    assert (view["State"], view["Output"]["Complete"]) == ("exited", True), view
    return service.client.get(f"/{job_id}/output").text


def test_the_terminal_of_a_job_has_its_size_and_its_type(service: Service):
    job_id = service.submit(JOB)
    assert finished(service, job_id) == "30 100\r\nxterm-256color\r\n"
    view = service.show(job_id)
    assert view["TTY"] == {"Rows": 30, "Cols": 100, "Term": "xterm-256color"}
    assert view["Output"]["Exact"] is False
    plain = service.show(service.submit("true"))
    assert (plain["TTY"], plain["Output"]["Exact"]) == (None, True)


def test_the_environment_wins_over_the_terminals_type(service: Service):
    job_id = service.submit({**JOB, "Environment": {"TERM": "dumb"}})
    assert finished(service, job_id).split()[-1] == "dumb"


@pytest.mark.parametrize(
    ("terminal", "pointer"),
    [
        ({"Rows": 0}, "/TTY/Rows"),
        ({"Rows": 1001}, "/TTY/Rows"),
        ({"Cols": 10001}, "/TTY/Cols"),
        ({"Cols": "80"}, "/TTY/Cols"),
        ({"Term": "../xterm"}, "/TTY/Term"),
        ({"Term": "xterm\n"}, "/TTY/Term"),
        ({"Term": ""}, "/TTY/Term"),
        ({"Term": "x" * 65}, "/TTY/Term"),
        ({"Lines": 3}, "/TTY/Lines"),
        (True, "/TTY"),
    ],
)
def test_what_is_no_terminal_is_refused_with_what_was_expected(
    service: Service, terminal: object, pointer: str
):
    answer = service.client.post("/", json={"CommandLine": "true", "TTY": terminal})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert "expected" in error["detail"]


def test_a_job_is_told_of_its_new_size(service: Service):
    line = "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done"
    job_id = service.submit({"CommandLine": line, "TTY": {}})
    with attached(service, job_id) as output:
        assert next(output).strip() == "up"
        answer = service.client.post(f"/{job_id}/resize", params={"rows": 40, "cols": 120})
        assert answer.json() == {"ID": job_id, "Rows": 40, "Cols": 120}
        assert next(output).strip() == "40 120"
    service.kill(job_id, grace=0, wait="true")
    answer = service.client.post(f"/{job_id}/resize", params={"rows": 40, "cols": 120})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (
        409,
        "job_not_running",
    )


def test_what_a_job_without_a_terminal_cannot_do_is_refused(service: Service):
    job_id = service.submit("sleep 600")
    for request in (
        f"/{job_id}/resize?rows=4&cols=4",
        f"/{job_id}/signal?signal=INT&to=foreground",
    ):
        answer = service.client.post(request)
        assert answer.status_code == 409
        assert "has no terminal" in answer.json()["detail"]
    for query in ("rows=4", "cols=4", "rows=0&cols=4", "rows=4&cols=10001", ""):
        answer = service.client.post(f"/{job_id}/resize?{query}")
        assert answer.status_code == 400
        assert "expected a whole number" in answer.json()["detail"]
    service.kill(job_id, grace=0, wait="true")
    assert service.client.post("/none/resize?rows=4&cols=4").status_code == 404


def waits(service: Service, job_id: str) -> bool | None:
    found: bool | None = service.show(job_id)["WaitingForInput"]
    return found


@pytest.mark.parametrize(
    "reader", ["cat", "bash -c 'read -r line; echo $line'", "head -n 1 < /dev/tty"]
)
def test_a_job_that_reads_its_input_waits_for_it(service: Service, reader: str):
    job = {"CommandLine": f"echo up; {reader}; exec sleep 600"}
    kinds: list[dict[str, object]] = [{"TTY": {}}]
    if "tty" not in reader:
        kinds.append({"Stdin": True})
    for kind in kinds:
        job_id = service.submit({**job, **kind})
        until(lambda job_id=job_id: waits(service, job_id))
        headers = {"Content-Type": "application/octet-stream"}
        path = f"/{job_id}/stdin?eof=true"
        assert service.client.post(path, content=b"line\n", headers=headers).status_code == 200
        until(lambda job_id=job_id: waits(service, job_id) is False)
        service.kill(job_id, grace=0, wait="true")
        assert waits(service, job_id) is None


def test_a_terminal_that_does_not_show_what_is_typed_waits_for_a_password(service: Service):
    job_id = service.submit({"CommandLine": "stty -echo; echo up; exec sleep 600", "TTY": {}})
    until(lambda: waits(service, job_id))
    service.kill(job_id, grace=0, wait="true")


def test_who_reads_something_else_waits_for_no_input(service: Service):
    line = "echo up; sleep 600 | cat"
    for kind in ({"TTY": {}}, {"Stdin": True}):
        job_id = service.submit({"CommandLine": line, **kind})
        with attached(service, job_id) as output:
            next(output)
        assert waits(service, job_id) is False
        service.kill(job_id, grace=0, wait="true")
    job_id = service.submit("exec sleep 600")
    assert waits(service, job_id) is None
    service.kill(job_id, grace=0, wait="true")


def test_a_recording_plays_in_a_terminal_of_the_same_size(service: Service):
    job_id = service.submit({"CommandLine": "tput cup 29 99; printf x", "TTY": JOB["TTY"]})
    service.wait(job_id)
    cast = service.client.get(f"/{job_id}/attach", params={"format": "asciicast"}).text.splitlines()
    header, *events = map(json.loads, cast)
    screen = pyte.Screen(header["width"], header["height"])
    stream = pyte.Stream(screen)
    for _, _, text in events:
        stream.feed(text)
    assert screen.display[29][99] == "x"


@pytest.mark.slow
def test_a_terminal_goes_on_while_no_service_lives(state_dir: Path):
    line = "trap 'stty size' WINCH; echo up; until read -r line; do :; done; echo got $line"
    with running(state_dir, workers=2) as service:
        job_id = service.submit({"CommandLine": line, "TTY": {}})
        with attached(service, job_id) as output:
            assert next(output) == "up"
        service.crash()
        with again(service) as later:
            later.client.post(f"/{job_id}/resize?rows=40&cols=120").raise_for_status()
            headers = {"Content-Type": "application/octet-stream"}
            path = f"/{job_id}/stdin?offset=0"
            assert later.client.post(path, content=b"it\n", headers=headers).json() == {"Offset": 3}
            assert finished(later, job_id).split("\r\n")[-2:] == ["got it", ""]
            assert "40 120\r\n" in later.output(job_id).decode()
