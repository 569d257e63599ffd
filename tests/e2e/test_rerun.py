"""`POST /<ID>/rerun`: a job runs again as a new one, with what the service still has of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import jobrunner
import pytest
from answers import assert_problem
from running import Service, running

pytestmark = pytest.mark.e2e

PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    environment = {"SECRET": "kept", "OTHER": "o"}
    line = "echo $SECRET $OTHER; exit 3"
    view = service.run({"CommandLine": line, "Environment": environment, "Labels": {"a": "b"}})
    return view["ID"]


def test_a_job_runs_again_as_it_was_submitted(service: Service, job: str):
    answer = service.client.post(f"/{job}/rerun")
    assert answer.status_code == 201
    new = answer.json()["ID"]
    assert answer.headers["location"] == f"/{new}"
    assert new != job
    view = service.wait(new)
    assert (view["ExitCode"], view["Labels"]) == (3, {"a": "b"})
    assert service.output(new) == b"kept o\n"
    for empty in (b"", b"{}"):
        assert service.client.post(f"/{job}/rerun", content=empty, headers=PATCH).status_code == 201


@pytest.mark.parametrize("media", ["application/merge-patch+json", "application/json"])
def test_a_patch_changes_it_and_values_of_the_environment_stay(service, job, media):
    body = b'{"Environment": {"OTHER": null, "NEW": "n"}, "Name": "again"}'
    headers = {"Content-Type": f"{media}; charset=utf-8"}
    answer = service.client.post(f"/{job}/rerun?wait=60", content=body, headers=headers)
    view = answer.json()
    assert (answer.status_code, view["State"], view["Name"]) == (201, "exited", "again")
    assert view["Environment"] == ["NEW", "SECRET"]
    assert service.output(view["ID"]) == b"kept\n"


def test_the_same_key_leads_to_the_same_new_job(service: Service, job: str):
    headers = {**PATCH, "Idempotency-Key": "rerun-once"}
    answers = [
        service.client.post(f"/{job}/rerun", content=b'{"Name": "k"}', headers=headers)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    other = service.client.post(f"/{job}/rerun", content=b'{"Name": "l"}', headers=headers)
    assert assert_problem(other, 422)["type"].endswith(":idempotency_key_reused")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", PATCH, 400, "malformed_body"),
        (b"[]", PATCH, 422, "invalid_job"),
        (b'{"Timeout": "x"}', PATCH, 422, "invalid_job"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {}, 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_patch_is_refused(service, job, body, headers, status, code):
    answer = service.client.post(f"/{job}/rerun", content=body, headers=headers)
    assert assert_problem(answer, status)["type"].endswith(f":{code}")


def test_a_merge_patch_is_no_submission(service: Service):
    answer = service.client.post("/", content=b'{"CommandLine": "true"}', headers=PATCH)
    assert_problem(answer, 415)


def test_another_method_is_told_so_whatever_its_body(service: Service, job: str):
    answer = service.client.put(f"/{job}/rerun", content=b"{}", headers=PATCH)
    assert_problem(answer, 405)


def test_an_unknown_job_cannot_run_again(service: Service):
    assert_problem(service.client.post("/no-such-job/rerun"), 404)


def test_a_record_that_lost_its_submission_says_so(tmp_path):
    with running(tmp_path / "jobrunner") as service:
        job = service.run("true")["ID"]
        with closing(sqlite3.connect(tmp_path / "jobrunner" / "jobs.db")) as records, records:
            records.execute("UPDATE specs SET spec = '{'")
        with jobrunner.Client(service.url) as client:
            with pytest.raises(jobrunner.SubmissionLost, match="record is damaged"):
                client.job(job).rerun()


async def test_both_clients_run_a_job_again(service: Service, job: str):
    with jobrunner.Client(service.url) as client:
        first = client.job(job).rerun({"CommandLine": "echo $SECRET"}, key="both-clients")
        assert b"".join(first.stream()) == b"kept\n"
    async with jobrunner.AsyncClient(service.url) as client:
        second = await client.job(job).rerun({"CommandLine": "echo $SECRET"}, key="both-clients")
        assert second.id == first.id
