"""A job with a terminal, as callers see it."""

from __future__ import annotations

import pytest
from gates import attached
from running import Service

pytestmark = pytest.mark.e2e

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
