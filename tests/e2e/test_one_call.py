"""A whole run in one request: the view with an excerpt, or the output, and nothing is lost when the
caller goes away."""

from __future__ import annotations

import concurrent.futures
import json
import re
import socket
from typing import Any

import httpx
import pytest
from answers import assert_problem, every_id
from gates import Gate, lines
from running import Service, running
from waiting import until

pytestmark = pytest.mark.e2e
WORKERS = 2

# Seconds: a fuse.
FUSE_S = 300


def post(service: Service, query: str, command: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.client.post(f"/?{query}", json={"CommandLine": command}, headers=named)


# -------------------------------------------------------------------------------------- the view


def test_one_request_has_the_state_the_exit_code_and_what_happened(service: Service) -> None:
    answer = post(service, "wait=60&output=1000", "echo out; echo err >&2; exit 3")
    view = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/{view['ID']}")
    assert (view["State"], view["ExitCode"]) == ("exited", 3)
    size = view["Output"]["Bytes"]
    excerpt = view.pop("Excerpt")
    assert sorted(excerpt.pop("Text").splitlines()) == ["err", "out"]
    assert excerpt == {"Head": [0, size], "Tail": [size, size], "Elided": None}
    assert service.show(view["ID"]) == view


def test_a_job_that_takes_longer_is_shown_as_it_stands(service: Service, gate: Gate) -> None:
    view = post(service, "wait=0", f"read -r _ < {gate}").json()
    assert view["State"] in ("pending", "running")
    assert "Excerpt" not in view
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.wait, view["ID"])
        gate.open()
        assert waiting.result(FUSE_S)["ExitCode"] == 0
    assert post(service, "wait=0.1", f"read -r _ < {gate}").json()["State"] in (
        "pending",
        "running",
    )
    gate.open()


@pytest.mark.parametrize("query", ["wait=60", "wait=60&output=10", "attach=true"])
def test_a_repeat_with_the_key_is_about_the_same_job(service: Service, query: str) -> None:
    key = f"same-{query}"
    first = post(service, query, "echo once", Idempotency_Key=key)
    again = post(service, query, "echo once", Idempotency_Key=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["location"] == again.headers["location"]
    assert first.text == again.text
    assert len([i for i in every_id(service) if f"/{i}" == first.headers["location"]]) == 1


def test_a_repeat_waits_for_the_job_that_runs(service: Service, gate: Gate) -> None:
    command = f"echo begun; read -r _ < {gate}; exit 4"
    job_id = service.submit(command, **{"Idempotency-Key": "waits"})
    assert lines(service, job_id, 1) == ["begun"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waits = pool.submit(post, service, "wait=60", command, Idempotency_Key="waits")
        streams = pool.submit(post, service, "attach=true", command, Idempotency_Key="waits")
        gate.open()
        assert (waits.result(FUSE_S).status_code, waits.result().json()["ExitCode"]) == (200, 4)
        assert (streams.result(FUSE_S).status_code, streams.result().text) == (200, "begun\n")


# ----------------------------------------------------------------------------------- the output


def test_the_output_comes_live_in_the_format_that_is_asked_for(
    service: Service, gate: Gate
) -> None:
    job = {"CommandLine": f"echo begun; read -r _ < {gate}; echo done"}
    with service.client.stream("POST", "/?attach=true", json=job) as answer:
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        job_id = answer.headers["location"].removeprefix("/")
        output = answer.iter_lines()
        assert next(output) == "begun"
        assert service.show(job_id)["State"] == "running"
        gate.open()
        assert list(output) == ["done"]
    octets = post(service, "attach=true", "printf x", Accept="application/octet-stream")
    assert (octets.content, octets.headers["content-type"]) == (b"x", "application/octet-stream")
    assert post(service, "attach=true&format=bytes", "printf x").headers["content-type"] == (
        "application/octet-stream"
    )


def test_events_end_with_how_the_job_ended(service: Service) -> None:
    answer = post(service, "attach=true&format=ndjson", "echo hi; exit 3")
    records = [json.loads(line) for line in answer.text.splitlines()]
    assert [record["Type"] for record in records] == ["output", "end"]
    assert (records[0]["Text"], records[1]["ExitCode"]) == ("hi\n", 3)
    stamped = post(service, "attach=true&timestamps=true", "echo hi").text
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+Z hi\n", stamped)


@pytest.mark.parametrize("query", ["wait=60", "attach=true"])
def test_a_caller_that_goes_away_changes_nothing(service: Service, gate: Gate, query: str) -> None:
    body = f'{{"CommandLine": "echo begun; read -r _ < {gate}; echo done"}}'
    name = f"left-{query}"
    request = (
        f"POST /?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {name}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    before = set(every_id(service))
    with socket.create_connection(("127.0.0.1", service.port), FUSE_S) as connection:
        connection.sendall(request.encode())
        until(lambda: set(every_id(service)) - before)
    (job_id,) = set(every_id(service)) - before
    assert lines(service, job_id, 1) == ["begun"]
    gate.open()
    assert service.wait(job_id)["ExitCode"] == 0
    assert service.output(job_id) == b"begun\ndone\n"


def test_a_worker_that_stops_shows_the_job_that_it_took(state_dir: Any, gate: Gate) -> None:
    with (
        running(state_dir, environment={"JOBRUNNER_SHUTDOWN": "leave"}) as service,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(post, service, "wait=60", f"read -r _ < {gate}")
        until(lambda: [job for job in every_id(service) if service.show(job)["State"] == "running"])
        service.stop()
        answer = asked.result(FUSE_S)
        assert (answer.status_code, answer.json()["State"]) == (201, "running")
        gate.open()


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("wait=x", ["'wait'"]),
        ("wait=-1", ["'wait'"]),
        ("wait=1&wait=2", ["'wait'"]),
        ("wait=1&output=-1", ["'output'"]),
        ("wait=1&output=2000000", ["'output'", "1048576"]),
        ("attach=maybe", ["'attach'"]),
        ("attach=true&wait=1", ["'attach'", "'wait'"]),
        ("attach=true&output=1", ["'attach'", "'output'"]),
        ("output=1", ["'output'", "'wait'"]),
        ("format=text", ["'format'", "'attach'"]),
        ("wait=1&gaps=cut", ["'gaps'", "'attach'"]),
        ("attach=true&format=x", ["'format'"]),
        ("attach=true&tail=1", ["'tail'", "timestamps"]),
        ("wait=1&ouput=1", ["'ouput'", "output"]),
    ],
)
def test_what_contradicts_itself_is_refused_and_nothing_is_stored(
    service: Service, query: str, named: list[str]
) -> None:
    before = every_id(service)
    detail = assert_problem(post(service, query, "echo no"), 400)["detail"]
    assert all(name in detail for name in named), detail
    assert every_id(service) == before


def test_an_unacceptable_format_stores_nothing(service: Service) -> None:
    before = every_id(service)
    assert_problem(post(service, "attach=true", "echo no", Accept="image/png"), 406)
    assert every_id(service) == before
    assert post(service, "verbose=1", "true").status_code == 201  # as before
    # Of an answer in JSON the header says nothing, as before.
    assert post(service, "wait=60", "true", Accept="image/png").status_code == 201


def test_without_room_for_a_reader_nothing_is_stored(state_dir: Any, gate: Gate) -> None:
    with running(state_dir, environment={"JOBRUNNER_MAX_READERS": "1"}) as service:
        job_id = service.submit(f"echo begun; read -r _ < {gate}")
        with service.client.stream("GET", f"/{job_id}/attach") as reader:
            output = reader.iter_lines()  # kept: the response would be closed with it
            assert next(output) == "begun"
            assert_problem(post(service, "attach=true", "echo no"), 503)
            assert_problem(service.client.get(f"/{job_id}/output"), 503)
            assert every_id(service) == [job_id]
            gate.open()


# ------------------------------------------------------------------------------------- excerpts


def test_views_have_an_excerpt_that_fits(service: Service) -> None:
    job_id = service.submit("seq 100000")
    service.wait(job_id)
    whole = service.output(job_id)
    for path in (f"/{job_id}?output=500", f"/{job_id}/wait?output=500"):
        excerpt = service.client.get(path).json()["Excerpt"]
        assert len(excerpt["Text"].encode()) <= 500
        (_, a), (b, size) = excerpt["Head"], excerpt["Tail"]
        assert (size, excerpt["Elided"]) == (len(whole), [a, b])
        assert excerpt["Text"].startswith(whole[:a].decode())
        assert excerpt["Text"].endswith(whole[b:].decode())
    large = service.client.get(f"/{job_id}?output=1000000").json()["Excerpt"]
    assert large["Text"].encode() == whole
    assert "Excerpt" not in service.show(job_id)


def test_an_excerpt_of_nothing_and_of_what_is_no_text(service: Service, gate: Gate) -> None:
    silent = service.submit(f"read -r _ < {gate}")
    nothing = {"Text": "", "Head": [0, 0], "Tail": [0, 0], "Elided": None}
    assert service.client.get(f"/{silent}?output=9").json()["Excerpt"] == nothing
    gate.open()
    assert service.client.get(f"/{silent}/wait?output=9").json()["Excerpt"] == nothing
    view = post(service, "wait=60&output=9", r"printf 'a\377b\342\202'").json()
    assert view["Excerpt"]["Text"] == "a\ufffdb\ufffd"


def test_an_excerpt_leaves_out_what_was_dropped(service: Service) -> None:
    job = {"CommandLine": "seq -f '%015.0f' 0 99999", "OutputLimit": 1 << 16}
    view = service.client.post("/?wait=60&output=1000000", json=job).json()
    assert [view["Excerpt"]["Elided"]] == view["Output"]["Gaps"]
    (start, end), text = view["Excerpt"]["Elided"], view["Excerpt"]["Text"]
    assert f"[jobrunner: bytes {start} to {end} left out]\n" in text
    assert text.startswith("000000000000000\n")
    assert text.endswith("000000000099999\n")
