"""`GET /events`: each job's latest state once, in order, over any cut, and nobody else's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import assert_problem
from change_readers import Consumer, changes, records
from gates import Gate
from running import Service, again, running

from service.access import tokens
from service.access.scopes import Scope

pytestmark = pytest.mark.e2e
WORKERS = 2

FINISHED = ("exited", "killed")


def now(service: Service) -> int:
    """The number of the last change."""
    told = changes(service)
    return told[-1]["Seq"] if told else 0


def test_each_job_is_told_once_with_its_last_state_in_the_order_of_changes(service: Service):
    before = now(service)
    first, second = service.run("exit 3")["ID"], service.run("true")["ID"]
    told = changes(service, after=before)
    assert [record["ID"] for record in told] == [first, second]
    assert [record["ExitCode"] for record in told] == [3, 0]
    assert before < told[0]["Seq"] < told[1]["Seq"]
    view = service.show(first)
    assert told[0] == {"Type": "change", "Seq": told[0]["Seq"], **view}
    assert [r["ID"] for r in changes(service, after=told[0]["Seq"])] == [second]
    assert changes(service, after=told[1]["Seq"]) == []


def test_who_follows_is_told_of_what_any_worker_stores(service: Service, gate: Gate):
    with records(service, "/events", follow="true", after=now(service)) as found:
        job_id = service.submit({"CommandLine": f"read -r _ < {gate}", "Name": "followed"})
        states = []
        for record in found:
            assert record["ID"] == job_id
            states.append(record["State"])
            if record["State"] == "running" and record["Kill"] is None:
                service.kill(job_id)
            if record["State"] in FINISHED:
                break
        assert states[-1] == "killed"
        assert states == sorted(states, key=["pending", "running", "killed"].index)
        service.client.post(f"/{job_id}/clean").raise_for_status()
        told = next(found)
        assert told == {"Type": "change", "Seq": told["Seq"], "ID": job_id, "Cleaned": True}
    assert changes(service, after=told["Seq"] - 1) == [told]


def test_an_event_source_is_told_the_same_and_stops(service: Service):
    before = now(service)
    job_id = service.run("true")["ID"]
    answer = service.client.get(f"/events?after={before}", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == (
        "no-store",
        "no",
    )
    (told,) = changes(service, after=before)
    retry, number, kind, data, *rest = answer.text.split("\n")
    assert (retry, rest) == ("retry: 1000", ["", ""])
    assert (number, kind) == (f"id: {told['Seq']}", "event: change")
    assert httpx.Response(200, text=data.removeprefix("data: ")).json()["ID"] == job_id
    asked = {"params": {"format": "sse", "after": 0}}
    again = service.client.get("/events", headers={"Last-Event-ID": f"{before}"}, **asked)
    assert again.text == answer.text  # the header wins
    end = service.client.get("/events", headers={"Last-Event-ID": f"{told['Seq']}"}, **asked)
    assert (end.status_code, end.content) == (204, b"")


def test_formats_are_negotiated(service: Service):
    for headers, expected in (
        ({}, "application/x-ndjson"),
        ({"Accept": "application/jsonl"}, "application/jsonl"),
        ({"Accept": "text/html, text/event-stream;q=0.5"}, "text/event-stream; charset=utf-8"),
    ):
        answer = service.client.head("/events", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
    refused = service.client.get("/events", headers={"Accept": "text/plain"})
    assert "application/x-ndjson" in assert_problem(refused, 406)["detail"]


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("after=-1", {}, "'after': expected a whole number from 0"),
        ("after=x", {}, "'after'"),
        ("after=999999999", {}, "which is the last change of these records"),
        ("follow=maybe", {}, "'follow': expected 'true' or 'false'"),
        ("format=text", {}, "'format': expected one of ndjson, sse"),
        ("", {"Last-Event-ID": "999999999"}, "Last-Event-ID: expected a whole"),
        ("", {"Last-Event-ID": "5.end"}, "Last-Event-ID: expected"),
    ],
)
def test_wrong_values_are_told_what_was_expected(
    service: Service, query: str, headers: dict[str, str], expected: str
):
    refused = service.client.get(f"/events?{query}", headers=headers)
    assert expected in assert_problem(refused, 400)["detail"]


# --------------------------------------------------------------------------------------- access


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("guarded") / "jobrunner", workers=2) as service:
        yield service


def test_nobody_is_told_of_a_change_of_a_job_of_somebody_else(guarded: Service):
    made = {
        name: tokens.create(guarded.state_dir, name, scopes)[1]
        for name, scopes in (
            ("ann", {Scope.RUN, Scope.READ}),
            ("bob", {Scope.RUN, Scope.READ}),
            ("op", {Scope.ADMIN}),
        )
    }
    bearer = {name: {"Authorization": f"Bearer {token}"} for name, token in made.items()}
    client = guarded.client
    with (
        records(guarded, "/events", bearer["ann"], follow="true") as ann,
        records(guarded, "/events", bearer["op"], follow="true") as op,
    ):
        jobs = {}
        for name in ("bob", "ann", "bob", "ann"):
            job_id = guarded.submit("true", **bearer[name])
            client.get(f"/{job_id}/wait", headers=bearer[name]).raise_for_status()
            client.post(f"/{job_id}/clean", headers=bearer[name]).raise_for_status()
            jobs.setdefault(name, []).append(job_id)
        seen = []
        for record in ann:
            assert record["ID"] in jobs["ann"]
            seen += [record["ID"]] if "Cleaned" in record else []
            if len(seen) == 2:
                break
        assert seen == jobs["ann"]
        cleaned = 0
        for record in op:
            cleaned += "Cleaned" in record
            if cleaned == 4:
                break
    for name in ("ann", "bob"):
        with records(guarded, "/events", bearer[name]) as found:
            assert [record["ID"] for record in found] == jobs[name]
    refused = client.get("/events")
    assert refused.status_code == 401


# ---------------------------------------------------------------------------------------- deaths


def _submitted(service: Service, count: int) -> None:
    for number in range(count):
        while True:
            try:
                service.submit({"CommandLine": f"echo {number}; exit {number % 3}"})
                break
            except httpx.TransportError:
                pass  # the worker that was killed


def _settled(service: Service) -> dict[str, Any]:
    """The views of all jobs once they are finished."""
    for job_id in service.client.get("/", params={"state": "all"}).json()["IDs"]:
        service.wait(job_id)
    listed = service.client.get("/", params={"state": "all", "view": "full"}).json()["Jobs"]
    return {view["ID"]: view for view in listed}


def _cleaned(service: Service, consumer: Consumer) -> str:
    job_id = next(i for i, record in consumer.known.items() if record.get("State") in FINISHED)
    service.client.post(f"/{job_id}/clean").raise_for_status()
    return job_id


@pytest.mark.slow
def test_a_consumer_that_is_killed_knows_in_the_end_how_each_job_stands(state_dir: Path):
    """It is killed 20 times over 200 jobs, and so are a worker, the supervisor and the service."""
    consumer = Consumer()
    with running(state_dir, workers=2) as service:
        for number in range(10):
            _submitted(service, 10)
            # Of each round there are ten records at least, so these come.
            consumer.follow(service, records_at_most=number)
            if number == 3:
                os.kill(service.worker_pids()[0], signal.SIGKILL)
            if number == 6:
                os.kill(service.supervisor_pid(), signal.SIGKILL)
        cleaned = [_cleaned(service, consumer)]
        service.crash()
    with again(service) as service:
        for number in range(10):
            _submitted(service, 10)
            consumer.follow(service, records_at_most=number)
        views = _settled(service)
        for record in changes(service, after=consumer.after):
            consumer.take(record)
        cleaned.append(_cleaned(service, consumer))
        del views[cleaned[1]]
        for record in changes(service, after=consumer.after):
            consumer.take(record)
        told = changes(service)
        assert [record["ID"] for record in told] == list(consumer.known)
        for record in told:
            assert consumer.known[record["ID"]] == record
        known = dict(consumer.known)
        for job_id in cleaned:
            assert known.pop(job_id).keys() == {"Type", "Seq", "ID", "Cleaned"}
        assert known.keys() == views.keys()
        for job_id, record in known.items():
            assert {"Type": "change", "Seq": record["Seq"], **views[job_id]} == record
        assert len(known) >= 200 - 2
