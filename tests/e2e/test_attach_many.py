"""`GET /attach?…`: the output of many jobs in one stream, each byte once, over any cut."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from answers import assert_problem
from change_readers import Follower, records
from gates import Gate
from leaks import descriptors
from running import Service, running
from waiting import until

from service.access import tokens
from service.access.scopes import Scope

pytestmark = pytest.mark.e2e
WORKERS = 2


def labelled(service: Service, label: str, command: str) -> str:
    return service.submit({"CommandLine": command, "Labels": {"test": label}})


def test_jobs_join_as_they_come_and_leave_with_an_end_record(service: Service, gate: Gate):
    first = labelled(service, "join", f"echo a; echo b >&2; read -r _ < {gate}; echo c")
    other = labelled(service, "not-join", "echo other")
    follower = Follower(service, label="test=join")
    follower.follow(records_at_most=2)
    assert follower.output == {first: b"a\nb\n"}
    second = labelled(service, "join", "echo later; exit 3")
    service.wait(second)
    follower.follow(ends=1)
    gate.open()
    follower.follow(ends=2)
    assert follower.output == {first: b"a\nb\nc\n", second: b"later\n"}
    end = follower.ends[second]
    assert (end["State"], end["ExitCode"], end["Bytes"]) == ("exited", 3, 6)
    assert end["SHA256"] == hashlib.sha256(b"later\n").hexdigest()
    assert other not in follower.output


def test_an_event_source_goes_on_by_its_last_event(service: Service):
    jobs = [labelled(service, "sse", f"echo {n}") for n in range(3)]
    for job_id in jobs:
        service.wait(job_id)
    path = "/attach?state=all&label=test=sse&format=sse"
    told, last = [], {}
    for _ in range(6):  # an output and an end of each
        with service.client.stream("GET", path, headers=last) as answer:
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            lines = answer.iter_lines()
            assert next(lines) == "retry: 1000"
            number, kind, data = (next(lines) for _ in range(3))
            record = json.loads(data.removeprefix("data: "))
            assert number == f"id: {record['Cursor']}"
            told.append((record["Job"], kind.removeprefix("event: ")))
            last = {"Last-Event-ID": record["Cursor"]}
    assert told == [(job_id, kind) for job_id in jobs for kind in ("output", "end")]


def test_what_came_and_ended_while_nobody_looked_is_told(service: Service, gate: Gate):
    kept = labelled(service, "away", f"echo here; read -r _ < {gate}")
    follower = Follower(service, label="test=away")
    follower.follow(records_at_most=1)
    missed = [labelled(service, "away", f"seq {n}000") for n in range(1, 4)]
    for job_id in missed:
        service.wait(job_id)
    nothing = service.submit(
        {"CommandLine": "true", "WorkingDir": "/nowhere", "Labels": {"test": "away"}}
    )
    service.wait(nothing)
    gate.open()
    follower.follow(ends=5)
    assert follower.output.keys() == {kept, nothing, *missed}
    for number, job_id in enumerate(missed, 1):
        expected = "".join(f"{n}\n" for n in range(1, number * 1000 + 1))
        assert follower.output[job_id] == expected.encode()
    assert follower.ends[nothing]["Bytes"] == 0


def test_a_job_that_was_cleaned_meanwhile_leaves(service: Service, gate: Gate):
    cleaned = labelled(service, "cleaned", f"echo here; read -r _ < {gate}; echo more")
    follower = Follower(service, label="test=cleaned")
    follower.follow(records_at_most=1)
    gate.open()
    service.wait(cleaned)
    service.client.post(f"/{cleaned}/clean").raise_for_status()
    follower.follow(ends=1)
    end = follower.ends[cleaned]
    assert (end["Type"], end["Cleaned"]) == ("end", True)
    last = labelled(service, "cleaned", "echo last")
    follower.follow(ends=2)
    assert follower.output[last] == b"last\n"


def test_a_log_that_lost_bytes_which_were_told_ends_its_job_and_no_other(service: Service):
    damaged = labelled(service, "shorter", "echo all of it")
    service.wait(damaged)
    follower = Follower(service, label="test=shorter", state="all")
    follower.follow(records_at_most=1)
    log = service.state_dir / "logs" / damaged / "output"
    # A log that is open was looked at before.
    until(lambda: not any(is_open(pid, log) for pid in service.worker_pids()))
    os.truncate(log, 3)
    labelled(service, "shorter", "echo whole")
    follower.follow(ends=2)
    assert "3 bytes" in follower.ends[damaged]["Error"]
    assert b"whole\n" in follower.output.values()


def is_open(pid: int, path: Path) -> bool:
    return str(path) in descriptors(pid).values()


def test_what_there_is_now_is_an_answer_that_ends(service: Service, gate: Gate):
    running = labelled(service, "now", f"echo a; read -r _ < {gate}; echo b")
    busy = labelled(service, "now", "while :; do echo x; sleep 0.01; done")
    ended = labelled(service, "now", "echo c")
    service.wait(ended)
    with service.client.stream("GET", f"/{running}/attach") as answer:
        next(answer.iter_lines())
    asked = {"label": "test=now", "state": "all", "follow": "false"}
    with records(service, "/attach", **asked) as found:
        told = list(found)
    service.kill(busy, grace=0)
    assert [(r["Type"], r.get("Text")) for r in told if r["Job"] == running] == [("output", "a\n")]
    assert [r["Type"] for r in told if r["Job"] == ended] == ["output", "end"]
    gate.open()
    service.wait(running)
    with records(service, "/attach", **asked, after=told[-1]["Cursor"]) as found:
        rest = [r for r in found if r["Job"] == running]
    assert [(r["Type"], r.get("Text")) for r in rest] == [("output", "b\n"), ("end", None)]


def test_lines_bytes_and_both_streams_come_as_records(service: Service):
    job_id = labelled(service, "forms", r"printf 'one\n\377\ntw'")
    service.wait(job_id)
    with records(service, "/attach", state="all", label="test=forms", lines="true") as found:
        told = []
        for record in found:
            told.append(record)
            if record["Type"] == "end":
                break
    assert [(r["Stream"], r.get("Text"), r.get("Data"), r.get("Partial")) for r in told[:-1]] == [
        ("stdout", "one", None, None),
        ("stdout", None, "/w==", None),
        ("stdout", "tw", None, True),
    ]


def test_a_flood_does_not_keep_another_job_from_its_turn(service: Service, gate: Gate):
    flood = labelled(service, "fair", "head -c 200000000 /dev/zero; exec sleep infinity")
    quiet = labelled(service, "fair", f"read -r _ < {gate}; echo here")
    try:
        with records(service, "/attach", label="test=fair", format="ndjson") as found:
            between = 0
            for record in found:
                if record["Job"] == flood:
                    between += 1
                    if between == 20:
                        gate.open()
                else:
                    assert record["Text"] == "here\n"
                    break
            assert between >= 20
    finally:
        service.kill(flood, grace=0)
        service.kill(quiet, grace=0)


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("after=x", {}, "'after': expected a Cursor that a record of this stream had, got 'x'"),
        ("after=", {}, "'after': expected a Cursor"),
        ("", {"Last-Event-ID": "17"}, "Last-Event-ID: expected one of a Cursor"),
        ("state=pending", {}, "'state': expected all, or any of running, exited, killed"),
        ("state=running&exit=0", {}, "'exit' and 'state' contradict each other"),
        ("label=x", {}, "'label': expected 'name=value'"),
        ("offset=5", {}, "Unknown query parameter 'offset'"),
        ("format=docker", {}, "'format': expected one of ndjson, sse"),
    ],
)
def test_wrong_values_are_told_what_was_expected(
    service: Service, query: str, headers: dict[str, str], expected: str
):
    refused = service.client.get(f"/attach?{query}", headers=headers)
    assert expected in assert_problem(refused, 400)["detail"]


def test_a_cursor_of_something_else_is_refused(service: Service, tmp_path: Path):
    service.wait(labelled(service, "else", "echo x"))
    follower = Follower(service, state="all", label="test=else")
    follower.follow(ends=1)
    wrong = {"label": "test=other", "state": "all", "after": follower.cursor}
    refused = service.client.get("/attach", params=wrong)
    assert "one of a stream with other selectors" in assert_problem(refused, 400)["detail"]
    with running(tmp_path / "other") as other:
        asked = {"label": "test=else", "state": "all", "after": follower.cursor}
        refused = other.client.get("/attach", params=asked)
        assert "another state directory" in assert_problem(refused, 400)["detail"]
        headers = {"Last-Event-ID": follower.cursor or ""}
        refused = other.client.get("/attach?label=test=else&state=all", headers=headers)
        assert "another state directory" in assert_problem(refused, 400)["detail"]


# ------------------------------------------------------------------------------- access and bounds


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two jobs of a stream, and two readers, at a time; callers have tokens."""
    bounds = {"JOBRUNNER_MAX_FOLLOWED_JOBS": "2", "JOBRUNNER_MAX_READERS": "2"}
    directory = tmp_path_factory.mktemp("guarded") / "jobrunner"
    with running(directory, environment=bounds) as service:
        for name, scopes in (("ann", {Scope.RUN, Scope.READ}), ("bob", {Scope.RUN, Scope.READ})):
            token = tokens.create(directory, name, scopes)[1]
            service.client.headers[f"X-{name}"] = token
        yield service


def bearer(service: Service, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.client.headers[f'X-{name}']}"}


def test_nobody_reads_a_job_of_somebody_else(guarded: Service):
    ann, bob = bearer(guarded, "ann"), bearer(guarded, "bob")
    jobs = {}
    for name, headers in (("bob", bob), ("ann", ann)):
        job_id = jobs[name] = guarded.submit(f"echo {name}", **headers)
        guarded.client.get(f"/{job_id}/wait", headers=headers)
    with records(guarded, "/attach", ann, state="all") as found:
        told = [next(found), next(found)]
        assert [record["Job"] for record in told] == [jobs["ann"]] * 2
        later = [guarded.submit("echo later", **headers) for headers in (bob, ann)]
        assert next(found)["Job"] == later[1]
    # Somebody who has another's cursor is told nothing of those jobs.
    stolen = {"state": "all", "after": told[0]["Cursor"]}
    with records(guarded, "/attach", bob, **stolen) as found:
        assert next(found)["Job"] == later[0]


def test_more_jobs_than_there_is_room_for_come_in_their_turn(guarded: Service, tmp_path: Path):
    ann = bearer(guarded, "ann")
    with ExitStack() as stack:
        gates = [Gate(tmp_path / f"gate{n}") for n in range(6)]
        for gate in gates:
            stack.callback(gate.close)
        jobs = []
        for n, gate in enumerate(gates):
            body = {"CommandLine": f"echo {n}; read -r _ < {gate}", "Labels": {"test": "room"}}
            jobs.append(guarded.submit(body, **ann))
            with records(guarded, f"/{jobs[-1]}/attach", ann) as found:
                next(found)  # so they start in this order
        ends = set()
        with records(guarded, "/attach", ann, label="test=room") as found:
            first = next(found)
        output, cursor = {first["Job"]: first["Text"].encode()}, {"after": first["Cursor"]}
        for done, gate in enumerate(gates):
            gate.open()
            with records(guarded, "/attach", ann, label="test=room", **cursor) as found:
                for record in found:
                    cursor = {"after": record["Cursor"]}
                    if record["Type"] == "end":
                        ends.add(record["Job"])
                        if len(ends) == done + 1:
                            break
                    else:
                        assert record["Job"] not in output
                        output[record["Job"]] = record["Text"].encode()
        assert output == {job_id: b"%d\n" % n for n, job_id in enumerate(jobs)}
        assert ends == set(jobs)


def test_readers_of_all_kinds_share_the_places(guarded: Service):
    ann = bearer(guarded, "ann")
    with ExitStack() as stack:
        for path in ("/events?follow=true", "/attach"):
            answer = stack.enter_context(guarded.client.stream("GET", path, headers=ann))
            assert answer.status_code == 200
        for path in ("/events", "/attach"):
            refused = guarded.client.get(path, headers=ann)
            assert_problem(refused, 503)
            assert "retry-after" in refused.headers


# ----------------------------------------------------------------------------------------- deaths


@pytest.mark.slow
def test_each_byte_of_fifty_jobs_comes_once_over_twenty_cuts(state_dir: Path):
    """A worker is killed meanwhile, and there is room for ten jobs at a time."""
    lines = 400
    command = "for ((n=0; n<{lines}; n++)); do echo {job} $n; done; exit {job}"
    with running(
        state_dir, workers=2, environment={"JOBRUNNER_MAX_FOLLOWED_JOBS": "10"}
    ) as service:
        jobs: dict[str, int] = {}

        def submit() -> None:
            while len(jobs) < 50:
                try:
                    job = len(jobs)
                    body = {
                        "CommandLine": command.format(lines=lines, job=job),
                        "Name": f"many{job}",
                    }
                    jobs[service.submit(body, **{"Idempotency-Key": f"{job}"})] = job
                except httpx.TransportError:
                    pass  # the worker that was killed

        follower = Follower(service, name="many*", state="all")
        submitter = threading.Thread(target=submit)
        submitter.start()
        try:
            for cut in range(20):
                follower.follow(records_at_most=1 + cut % 7)
                if cut == 10:
                    os.kill(service.worker_pids()[0], signal.SIGKILL)
        finally:
            submitter.join()
        while len(follower.ends) < 50:  # the last worker may be the one that was killed
            follower.follow(ends=50)
        assert follower.output.keys() == jobs.keys()
        for job_id, job in jobs.items():
            expected = "".join(f"{job} {n}\n" for n in range(lines)).encode()
            assert follower.output[job_id] == expected
            assert follower.ends[job_id]["ExitCode"] == job
            assert follower.ends[job_id]["SHA256"] == hashlib.sha256(expected).hexdigest()
