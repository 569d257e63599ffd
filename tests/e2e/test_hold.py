"""Held jobs, and files that a submission brings along."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from answers import assert_problem, pointers
from gates import Gate, lines
from running import Service, again, running

pytestmark = pytest.mark.e2e
WORKERS = 2

NEVER_GIVEN = "00000000-0000-4000-8000-000000000000"


def held(service: Service, line: str, **keys: object) -> str:
    return service.submit({"CommandLine": line, "Hold": True, **keys})


def test_a_held_job_runs_once_it_is_released(service: Service):
    job_id = held(service, "echo ran")
    view = service.show(job_id)
    assert (view["State"], view["Hold"]) == ("pending", True)
    later = service.run("echo later")  # it is in nobody's way
    assert later["ExitCode"] == 0
    assert service.show(job_id)["State"] == "pending"
    answer = service.client.post(f"/{job_id}/release")
    assert (answer.status_code, answer.json()["ID"]) == (200, job_id)
    assert answer.json()["Hold"] is False
    assert service.wait(job_id)["ExitCode"] == 0
    assert service.output(job_id) == b"ran\n"
    # A repeat, when the first answer was lost.
    assert service.client.post(f"/{job_id}/release").json()["State"] == "exited"


def test_what_is_not_held_is_not_released(service: Service, gate: Gate):
    running_id = service.submit(f"echo ready; read -r _ < {gate}")
    assert lines(service, running_id, 1) == ["ready"]
    detail = assert_problem(service.client.post(f"/{running_id}/release"), 409)["detail"]
    assert "without Hold" in detail
    gate.open()
    killed = held(service, "echo never")
    service.kill(killed, wait="true")
    assert service.show(killed)["Hold"] is False
    detail = assert_problem(service.client.post(f"/{killed}/release"), 409)["detail"]
    assert "it is killed" in detail
    assert_problem(service.client.post(f"/{NEVER_GIVEN}/release"), 404)


def test_a_queue_timeout_ends_a_forgotten_one(service: Service):
    job_id = held(service, "echo never", QueueTimeout=0.1)
    view = service.wait(job_id)
    assert (view["State"], view["Reason"]) == ("killed", "queue-timeout")
    assert view["Commands"][0]["State"] == "skipped"


def test_files_of_the_submission_are_there_for_the_first_command(service: Service):
    files = {
        "in/a b.txt": {"Text": "grün\n"},
        "run.sh": {"Text": "printf ran", "Mode": "0755"},
        "bytes": {"Base64": "AP8K"},
    }
    body = {"CommandLine": "./run.sh; cat 'in/a b.txt' bytes; stat -c %a *", "Files": files}
    job_id = service.submit(body)
    view = service.wait(job_id)
    assert view["Files"] == sorted(files)
    assert service.output(job_id) == b"rangr\xc3\xbcn\n\x00\xff\n644\n755\n755\n"
    again_id = service.client.post(f"/{job_id}/rerun").json()["ID"]
    assert service.wait(again_id)["ExitCode"] == 0
    assert service.output(again_id) == service.output(job_id)


def test_a_bad_file_is_refused_and_nothing_is_stored(service: Service):
    files = {"../a": {"Text": ""}, "b": {}, "c": {"Text": "secret", "Mode": "u+x"}}
    total = service.client.get("/?state=all").json()["Total"]
    body = {"CommandLine": "true", "Files": {"../a": {"Text": ""}, "b": {}}}
    assert pointers(assert_problem(service.client.post("/", json=body), 422)) == [
        "/Files/..~1a",
        "/Files/b",
    ]
    answer = service.client.post("/", json={"CommandLine": "true", "Files": files})
    assert pointers(assert_problem(answer, 422)) == ["/Files/c/Mode"]
    assert service.client.get("/?state=all").json()["Total"] == total


@pytest.fixture
def narrow(state_dir: Path):
    settings = {"JOBRUNNER_MAX_RUNNING": "1", "JOBRUNNER_MAX_PENDING": "2"}
    with running(state_dir, workers=2, environment=settings) as service:
        yield service


def test_held_jobs_count_as_pending_and_wait_for_a_slot_after_their_release(
    narrow: Service, gate: Gate
):
    first = narrow.submit(f"echo ready; read -r _ < {gate}")
    assert lines(narrow, first, 1) == ["ready"]
    ids = [held(narrow, "echo ran", Priority=n) for n in range(2)]
    assert_problem(narrow.client.post("/", json={"CommandLine": "true", "Hold": True}), 429)
    assert narrow.client.patch(f"/{ids[0]}", json={"Priority": 5}).status_code == 200
    assert narrow.client.post(f"/{ids[0]}/release").json()["State"] == "pending"
    gate.open()
    assert narrow.wait(ids[0])["ExitCode"] == 0
    assert narrow.show(ids[1])["State"] == "pending"


def test_holds_and_releases_outlive_workers_the_supervisor_and_the_service(
    narrow: Service, gate: Gate
):
    first = narrow.submit(f"echo ready; read -r _ < {gate}")
    assert lines(narrow, first, 1) == ["ready"]
    stays, released = held(narrow, "echo stays"), held(narrow, "echo ran")
    assert narrow.client.post(f"/{released}/release").status_code == 200
    narrow.crash()
    with again(narrow) as service:
        assert service.show(stays)["Hold"] is True
        os.kill(service.supervisor_pid(), signal.SIGKILL)
        assert service.wait(released)["ExitCode"] == 0
        view = service.show(stays)
        assert (view["State"], view["Hold"]) == ("pending", True)
        assert service.client.post(f"/{stays}/release").status_code == 200
        assert service.wait(stays)["ExitCode"] == 0
