"""Each route with its parameters, status codes, bodies and headers, as HTTP clients see them."""

from __future__ import annotations

import http.client
import json
import re
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from answers import assert_problem, every_id, time_of
from gates import Gate, lines
from running import Service

pytestmark = pytest.mark.e2e
WORKERS = 2

JOB_KEYS = {
    "ID",
    "Name",
    "Labels",
    "State",
    "Reason",
    "ExitCode",
    "Signal",
    "Error",
    "CreatedAt",
    "StartedAt",
    "FinishedAt",
    "Duration",
    "WorkingDir",
    "Environment",
    "Timeout",
    "IdleTimeout",
    "QueueTimeout",
    "Priority",
    "Limits",
    "Hold",
    "Files",
    "Grace",
    "Commands",
    "Usage",
    "Output",
    "Kill",
    "Left",
    "Stdin",
    "TTY",
    "WaitingForInput",
}
COMMAND_KEYS = {
    "Kind",
    "CommandLine",
    "WorkingDir",
    "Environment",
    "ContinueOnFailure",
    "Network",
    "Stderr",
    "Background",
    "Shell",
    "State",
    "ExitCode",
    "Signal",
    "Error",
    "OOMKilled",
    "StartedAt",
    "FinishedAt",
    "Duration",
}
NEVER_GIVEN = "00000000-0000-4000-8000-000000000000"


@contextmanager
def running_job(service: Service, gate: Gate, **more: Any) -> Iterator[str]:
    """A job that runs until the block is left."""
    job_id = service.submit({"CommandLine": f"echo ready; read -r _ < {gate}", **more})
    assert lines(service, job_id, 1) == ["ready"]
    try:
        yield job_id
    finally:
        gate.open()
        service.wait(job_id)


@contextmanager
def clients(service: Service, count: int) -> Iterator[list[httpx.Client]]:
    """So many clients, each with connections of its own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(httpx.Client(base_url=service.url, timeout=60))
            for _ in range(count)
        ]


def listed(service: Service, **parameters: Any) -> list[str]:
    answer = service.client.get("/", params=parameters)
    assert answer.status_code == 200, answer.text
    ids: list[str] = answer.json()["IDs"]
    return ids


# Submit


def test_submit_answers_201_with_the_id_and_its_location(service: Service):
    answer = service.client.post("/", json={"CommandLine": "true"})

    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"ID"}
    job_id = answer.json()["ID"]
    assert str(uuid.UUID(job_id)) == job_id
    assert answer.headers["location"] == f"/{job_id}"
    assert service.client.get(answer.headers["location"]).json()["ID"] == job_id


def test_content_type_may_name_a_charset(service: Service):
    answer = service.client.post(
        "/",
        content=b'{"CommandLine": "true"}',
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status_code == 201


# Show


def test_view_says_what_was_asked_for(service: Service):
    view = service.run(
        {
            "CommandLine": "true",
            "Name": "nightly",
            "Labels": {"team": "db"},
            "Environment": {"CI": "1"},
            "Timeout": 60,
            "Grace": 2.5,
            "WorkingDir": "src",
        }
    )

    assert view["Name"] == "nightly"
    assert view["Labels"] == {"team": "db"}
    assert view["Environment"] == ["CI"]
    assert (view["Timeout"], view["Grace"]) == (60, 2.5)
    assert view["WorkingDir"] == f"{service.state_dir}/jobs/{view['ID']}/work/src"
    (command,) = view["Commands"]
    assert (command["Kind"], command["CommandLine"]) == ("bash", "true")


def test_every_key_is_present_whatever_the_state(service: Service, gate: Gate):
    with running_job(service, gate) as job_id:
        running = service.show(job_id)
    exited = service.show(job_id)
    killed_id = service.submit("sleep 600")
    service.kill(killed_id, wait="true")
    killed = service.show(killed_id)

    assert [v["State"] for v in (running, exited, killed)] == ["running", "exited", "killed"]
    for view in (running, exited, killed):
        assert view.keys() == JOB_KEYS
        assert view["Output"].keys() >= {"Bytes", "Complete"}
        assert [command.keys() for command in view["Commands"]] == [COMMAND_KEYS]
    assert killed["Kill"].keys() == {
        "RequestedAt",
        "Signal",
        "Grace",
        "Signals",
        "Found",
        "Escalated",
        "VerifiedGone",
    }


def test_keys_without_a_value_are_null(service: Service, gate: Gate):
    with running_job(service, gate) as job_id:
        view = service.show(job_id)

    without = (
        "Name",
        "Reason",
        "ExitCode",
        "Signal",
        "Error",
        "FinishedAt",
        "Duration",
        "Timeout",
        "Kill",
    )
    assert [view[key] for key in without] == [None] * len(without)
    assert view["Labels"] == {}
    command = view["Commands"][0]
    without = ("ExitCode", "Signal", "Error", "FinishedAt")
    assert [command[key] for key in without] == [None] * len(without)


def test_times_are_rfc_3339_in_utc_and_in_order(service: Service):
    before = datetime.now(UTC)
    view = service.run("true")
    after = datetime.now(UTC)

    (command,) = view["Commands"]
    times = [
        before,
        time_of(view["CreatedAt"]),
        time_of(view["StartedAt"]),
        time_of(command["FinishedAt"]),
        time_of(view["FinishedAt"]),
        after,
    ]
    assert times == sorted(times)
    assert command["StartedAt"] == view["StartedAt"]


def test_no_answer_shows_the_value_of_a_variable(service: Service):
    job = {
        "Environment": {"TOKEN": "in-the-job"},
        "Commands": [{"CommandLine": "true", "Environment": {"KEY": "in-the-command"}}],
    }
    answer = service.client.post("/", json=job)
    job_id = answer.json()["ID"]
    texts = [
        answer.text,
        service.client.get(f"/{job_id}/wait").text,
        service.client.get(f"/{job_id}").text,
        service.client.get("/", params={"state": "all", "view": "full"}).text,
    ]

    view = service.show(job_id)
    assert (view["Environment"], view["Commands"][0]["Environment"]) == (["TOKEN"], ["KEY"])
    assert not [text for text in texts if "in-the-" in text]


def test_output_bytes_are_counted_while_the_job_runs(service: Service, gate: Gate):
    with running_job(service, gate) as job_id:
        running = service.show(job_id)["Output"]
    assert running["Bytes"] == len("ready\n")
    assert service.show(job_id)["Output"] == running


@pytest.mark.parametrize("path", ["", "/wait", "/attach"])
def test_unknown_job_is_404(service: Service, path: str):
    for job_id in (NEVER_GIVEN, "no-uuid", "%00", "%FF", "x" * 2000):
        document = assert_problem(service.client.get(f"/{job_id}{path}"), 404)
        assert document["type"].endswith("unknown_job")


# List


def test_list_without_parameters_is_the_live_jobs_oldest_first(service: Service, gate: Gate):
    ids = [service.submit(f"read -r _ < {gate}") for _ in range(5)]
    service.run("true")
    listed_while_live = service.client.get("/").json()
    gate.open(5)
    for job_id in ids:
        service.wait(job_id)

    assert listed_while_live == {"IDs": ids, "Total": 5}
    assert service.client.get("/").json() == {"IDs": [], "Total": 0}


def test_list_by_state(service: Service, gate: Gate):
    label = {"Labels": {"test": "by-state"}}
    exited = service.run({"CommandLine": "exit 3", **label})["ID"]
    killed = service.submit({"CommandLine": "sleep 600", **label})
    service.kill(killed, wait="true")
    with running_job(service, gate, **label) as running:

        def by(state: str) -> list[str]:
            return listed(service, state=state, label="test=by-state")

        assert by("exited") == [exited]
        assert by("killed") == [killed]
        assert by("running") == [running]
        assert by("pending") == []
        assert by("running,exited") == [exited, running]
        assert by("pending,running,exited,killed") == [exited, killed, running]
        assert by("all") == [exited, killed, running]


def test_list_by_name_and_by_labels(service: Service):
    one, two, three = (
        service.run({"CommandLine": "true", "Name": name, "Labels": labels})["ID"]
        for name, labels in (
            ("filters-a", {"k": "1", "odd": "x=y&z"}),
            ("filters-b", {"k": "1", "l": ""}),
            ("filters-b", {"k": "2"}),
        )
    )

    assert listed(service, state="all", name="filters-a") == [one]
    assert listed(service, state="all", name="filters-b") == [two, three]
    assert listed(service, state="all", name="filters") == []
    assert listed(service, state="all", label="k=1") == [one, two]
    assert listed(service, state="all", label=["k=1", "l="]) == [two]
    assert listed(service, state="all", label="odd=x=y&z") == [one]
    assert listed(service, state="all", label="k=1", name="filters-b") == [two]
    assert listed(service, state="all", label=["k=1", "k=2"]) == []
    assert listed(service, name="filters-a") == []


def test_pages_follow_each_other_in_order(service: Service):
    label = {"test": "pages"}
    ids = [service.submit({"CommandLine": "true", "Labels": label}) for _ in range(7)]
    for job_id in ids:
        service.wait(job_id)
    query = {"state": "all", "label": "test=pages", "limit": "3"}

    pages = [service.client.get("/", params=query)]
    while "Next" in pages[-1].json():
        after = pages[-1].json()["Next"]
        pages.append(service.client.get("/", params={**query, "after": after}))

    assert [len(page.json()["IDs"]) for page in pages] == [3, 3, 1]
    assert [i for page in pages for i in page.json()["IDs"]] == ids
    assert "link" not in pages[-1].headers


def test_link_header_leads_to_the_next_page(service: Service):
    labels = {"test": "links", "odd": 'ü &="<>'}
    ids = [service.submit({"CommandLine": "true", "Labels": labels}) for _ in range(3)]
    answer = service.client.get(
        "/",
        params={
            "state": "pending,running,exited",
            "label": ["test=links", 'odd=ü &="<>'],
            "limit": 2,
            "view": "full",
        },
    )

    match = re.fullmatch(r'<([^<>"]+)>; rel="next"', answer.headers["link"])
    assert match
    following = service.client.get(match[1])
    assert following.status_code == 200
    assert answer.json()["IDs"] + following.json()["IDs"] == ids
    assert [job["ID"] for job in following.json()["Jobs"]] == ids[2:]


def test_last_page_that_is_full_has_no_next(service: Service):
    for _ in range(2):
        service.run({"CommandLine": "true", "Labels": {"test": "full-page"}})
    answer = service.client.get("/", params={"state": "all", "label": "test=full-page", "limit": 2})
    assert len(answer.json()["IDs"]) == 2
    assert "Next" not in answer.json()
    assert "link" not in answer.headers


def test_cursor_outlives_the_job_it_points_at(service: Service):
    ids = [
        service.run({"CommandLine": "true", "Labels": {"test": "cursor"}})["ID"] for _ in range(3)
    ]
    query = {"state": "all", "label": "test=cursor"}
    after = service.client.get("/", params={**query, "limit": 2}).json()["Next"]
    service.client.post(f"/{ids[1]}/clean")

    assert listed(service, **query, after=after) == [ids[2]]


def test_full_list_has_the_same_views_as_show(service: Service):
    for command in ("echo x", "exit 7", "kill -SEGV $$"):
        service.run({"CommandLine": command, "Labels": {"test": "full"}})
    body = service.client.get(
        "/", params={"state": "all", "label": "test=full", "view": "full"}
    ).json()
    assert body["Jobs"] == [service.show(job_id) for job_id in body["IDs"]]
    assert len(body["Jobs"]) == 3


# Idempotency-Key


def test_repeated_key_answers_200_with_the_same_body(service: Service):
    key = {"Idempotency-Key": "repeated"}
    job = {"CommandLine": "echo once", "Labels": {"test": "repeated"}}
    first, again = (service.client.post("/", json=job, headers=key) for _ in range(2))
    service.wait(first.json()["ID"])
    later = service.client.post("/", json=job, headers=key)

    assert [a.status_code for a in (first, again, later)] == [201, 200, 200]
    assert first.content == again.content == later.content
    assert again.headers["location"] == first.headers["location"]
    assert listed(service, state="all", label="test=repeated") == [first.json()["ID"]]
    assert service.output(first.json()["ID"]) == b"once\n"


def test_key_of_another_body_is_422(service: Service):
    key = {"Idempotency-Key": "two bodies"}
    first = service.client.post("/", json={"CommandLine": "true"}, headers=key)
    before = every_id(service)
    other = service.client.post("/", json={"CommandLine": "false"}, headers=key)

    assert first.status_code == 201
    assert first.json()["ID"] in assert_problem(other, 422)["detail"]
    assert every_id(service) == before


def test_key_outlives_its_job(service: Service):
    key = {"Idempotency-Key": "cleaned"}
    first = service.client.post("/", json={"CommandLine": "true"}, headers=key)
    job_id = first.json()["ID"]
    service.wait(job_id)
    assert service.client.post(f"/{job_id}/clean").status_code == 200

    again = service.client.post("/", json={"CommandLine": "true"}, headers=key)
    other = service.client.post("/", json={"CommandLine": "false"}, headers=key)

    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert job_id in assert_problem(other, 422)["detail"]
    assert service.client.get(f"/{job_id}").status_code == 404


def test_concurrent_submissions_with_one_key_make_one_job(service: Service):
    job = {"CommandLine": "echo once", "Labels": {"test": "concurrent"}}
    headers = {"Idempotency-Key": "concurrent"}
    with clients(service, 16) as many, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda client: client.post("/", json=job, headers=headers), many))

    assert sorted(a.status_code for a in answers) == [200] * 15 + [201]
    assert len({a.content for a in answers}) == 1
    job_id = answers[0].json()["ID"]
    assert listed(service, state="all", label="test=concurrent") == [job_id]
    service.wait(job_id)
    assert service.output(job_id) == b"once\n"


def test_concurrent_submissions_of_two_bodies_with_one_key_make_one_job(service: Service):
    headers = {"Idempotency-Key": "concurrent bodies"}
    jobs = [
        {"CommandLine": f"echo {n % 2}", "Labels": {"test": "concurrent-bodies"}} for n in range(16)
    ]
    with clients(service, 16) as many, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda c, job: c.post("/", json=job, headers=headers), many, jobs))

    assert sorted(a.status_code for a in answers) == [200] * 7 + [201] + [422] * 8
    assert len(listed(service, state="all", label="test=concurrent-bodies")) == 1


# Wait


def test_wait_answers_with_the_job_when_it_is_finished(service: Service, gate: Gate):
    with clients(service, 8) as many, ThreadPoolExecutor(8) as pool:
        with running_job(service, gate) as job_id:
            waits = [pool.submit(client.get, f"/{job_id}/wait") for client in many]
        answers = [wait.result() for wait in waits]

    assert [a.status_code for a in answers] == [200] * 8
    assert [a.json()["State"] for a in answers] == ["exited"] * 8
    assert answers[0].json() == service.show(job_id)


@pytest.mark.parametrize("timeout", ["0", "0.05"])
def test_wait_with_a_timeout_answers_with_the_job_as_it_then_is(
    service: Service, gate: Gate, timeout: str
):
    with running_job(service, gate) as job_id:
        answer = service.client.get(f"/{job_id}/wait", params={"timeout": timeout})
        assert answer.status_code == 200
        assert answer.json()["State"] == "running"
        assert answer.json() == service.show(job_id)


def test_wait_with_a_timeout_does_not_wait_for_it(service: Service):
    job_id = service.submit("true")
    answer = service.client.get(f"/{job_id}/wait", params={"timeout": 86400})
    assert answer.json()["State"] == "exited"


# Kill


@pytest.mark.parametrize("job_id", [NEVER_GIVEN, "no-uuid", "%20", "%FF", "%00", "x" * 2000, "1"])
@pytest.mark.parametrize("query", ["", "?wait=true", "?signal=INT&grace=0"])
def test_delete_of_an_unknown_job_is_200_with_state_null(service: Service, job_id: str, query: str):
    answer = service.client.delete(f"/{job_id}{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"ID", "State"}
    assert answer.json()["State"] is None


def test_delete_answers_with_the_id_and_the_state(service: Service):
    running = service.submit("sleep 600")
    finished = service.run("true")["ID"]

    assert service.client.delete(f"/{running}?wait=true").json() == {
        "ID": running,
        "State": "killed",
    }
    for query in ("", "?wait=true"):
        answer = service.client.delete(f"/{finished}{query}")
        assert (answer.status_code, answer.json()) == (200, {"ID": finished, "State": "exited"})


# Clean


def test_clean_forgets_record_output_and_working_directory(service: Service):
    job_id = service.run("echo x; echo y > file")["ID"]
    directory = service.state_dir / "jobs" / job_id
    assert (directory / "work" / "file").read_text() == "y\n"

    answer = service.client.post(f"/{job_id}/clean")

    assert (answer.status_code, answer.json()) == (200, {"ID": job_id})
    assert not directory.exists()
    assert not (service.state_dir / "logs" / job_id).exists()
    assert job_id not in every_id(service)
    for path in (f"/{job_id}", f"/{job_id}/wait", f"/{job_id}/attach"):
        assert_problem(service.client.get(path), 404)
    assert_problem(service.client.post(f"/{job_id}/clean"), 404)
    assert service.kill(job_id) == {"ID": job_id, "State": None}


def test_clean_of_a_live_job_is_409_and_changes_nothing(service: Service, gate: Gate):
    with running_job(service, gate) as job_id:
        document = assert_problem(service.client.post(f"/{job_id}/clean"), 409)
        assert "running" in document["detail"]
        assert service.show(job_id)["State"] == "running"
    assert service.output(job_id) == b"ready\n"


def test_clean_of_an_unknown_job_is_404(service: Service):
    for job_id in (NEVER_GIVEN, "no-uuid"):
        assert_problem(service.client.post(f"/{job_id}/clean"), 404)


# Health, HEAD, connections


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_200_while_all_is_well(service: Service, path: str):
    answer = service.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_head_is_get_without_the_body_and_keeps_the_connection(service: Service):
    job_id = service.run("echo hello")["ID"]
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.connect()
    own = connection.sock
    paths = (
        "/",
        "/?state=all&view=full&limit=2",
        f"/{job_id}",
        f"/{job_id}/wait",
        f"/{job_id}/attach",
        f"/{job_id}/attach?follow=false&offset=-2",
        "/health/live",
        "/health/ready",
        "/openapi.json",
        f"/{NEVER_GIVEN}",
        f"/{NEVER_GIVEN}/attach",
        "/no/such/route",
    )
    try:
        for path in paths:
            seen = []
            for method in ("HEAD", "GET"):
                connection.request(method, path)
                answer = connection.getresponse()
                seen.append((answer.status, sorted(answer.getheaders()), answer.read()))
                assert connection.sock is own, (method, path)
            head, get = seen
            assert head[:2] == get[:2], path
            assert head[2] == b""
            assert get[2] != b""
    finally:
        connection.close()


def test_head_of_a_running_jobs_output_answers_at_once(service: Service, gate: Gate):
    with running_job(service, gate) as job_id:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        try:
            for _ in range(2):
                connection.request("HEAD", f"/{job_id}/attach")
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"")
                assert answer.getheader("content-type") == "text/plain; charset=utf-8"
        finally:
            connection.close()


def test_a_thousand_connections_are_served(service: Service):
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 60))
            for _ in range(1000)
        ]
        for connection in connections:
            connection.sendall(request)
        assert {connection.recv(12) for connection in connections} == {b"HTTP/1.1 200"}


def test_answers_are_json_that_says_so(service: Service):
    job_id = service.run("true")["ID"]
    for path in ("/", f"/{job_id}", f"/{job_id}/wait"):
        answer = service.client.get(path)
        assert answer.headers["content-type"] == "application/json"
        json.loads(answer.content)
