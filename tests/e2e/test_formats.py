"""Output as records and events: what a reader is told first and last, and where it continues."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import socket
from typing import Any

import httpx
import pytest
from answers import assert_problem
from gates import Gate
from running import Service, running

pytestmark = pytest.mark.e2e
WORKERS = 2

FUSE_S = 120
SSE = {"Accept": "text/event-stream"}


def records(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


def data_of(found: list[dict[str, Any]]) -> bytes:
    return b"".join(
        base64.b64decode(each["Data"]) if "Data" in each else each["Text"].encode()
        for each in found
        if each["Type"] == "output"
    )


def events_until_end(
    service: Service, job_id: str, last: str | None = None, **parameters: str
) -> list[tuple[str, str, dict[str, Any]]]:
    """ID, name and data of each; closes the connection as soon as the end has come."""
    headers = SSE if last is None else {**SSE, "Last-Event-ID": last}
    found: list[tuple[str, str, dict[str, Any]]] = []
    with service.client.stream(
        "GET", f"/{job_id}/attach", params=parameters, headers=headers
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                if fields["event"] == "end":
                    break
    return found


def readers(service: Service, name: str) -> float:
    text = service.client.get("/metrics").text
    [line] = [x for x in text.splitlines() if f'attached_readers{{format="{name}"}}' in x]
    return float(line.split()[1])


def test_a_reader_of_events_continues_and_is_told_when_to_stop(service: Service) -> None:
    job_id = service.submit("echo one; echo two >&2; exit 4")
    service.wait(job_id)
    events = events_until_end(service, job_id)
    assert [(place, name) for place, name, _ in events] == [
        ("4", "output"), ("8", "output"), ("8.end", "end"),
    ]  # fmt: skip
    end = events[-1][2]
    assert end == {
        "State": "exited", "Reason": None, "ExitCode": 4, "Signal": None, "Bytes": 8, "Stdout": 4,
        "Stderr": 4, "SHA256": hashlib.sha256(service.output(job_id)).hexdigest(),
    }  # fmt: skip
    # The header wins over the parameter.
    assert events_until_end(service, job_id, "4", offset="0") == events[1:]
    assert events_until_end(service, job_id, "8") == events[2:]
    for path in ("attach", "attach?follow=false", "output"):
        headers = {**SSE, "Last-Event-ID": "8.end"}
        answer = service.client.get(f"/{job_id}/{path}", headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
    stderr = events_until_end(service, job_id, stream="stderr")
    assert [(place, name) for place, name, _ in stderr] == [("4", "output"), ("4.end", "end")]
    assert stderr[0][2]["Offset"] == 0


def test_of_other_formats_the_id_of_an_event_means_nothing(service: Service) -> None:
    job_id = service.submit("echo one")
    service.wait(job_id)
    for last in ("2", "4.end"):
        answer = service.client.get(f"/{job_id}/attach", headers={"Last-Event-ID": last})
        assert answer.content == b"one\n"


def test_what_is_no_id_and_what_a_format_can_not_is_refused(service: Service) -> None:
    job_id = service.submit("echo one")
    headers = {**SSE, "Last-Event-ID": "x"}
    answer = service.client.get(f"/{job_id}/attach", headers=headers)
    assert_problem(answer, 400)
    assert "Last-Event-ID" in answer.json()["detail"]
    for query, names in (
        ("timestamps=true&format=ndjson", ("'timestamps'", "'format'", "'ndjson'")),
        ("lines=true", ("'lines'", "'Accept'", "'text'")),
        ("lines=true&format=docker", ("'lines'", "'docker'")),
        ("format=xml", ("'format'", "asciicast", "'xml'")),
    ):
        answer = service.client.get(f"/{job_id}/attach?{query}")
        assert_problem(answer, 400)
        assert all(name in answer.json()["detail"] for name in names)


def test_the_format_is_that_of_the_parameter_else_of_accept(service: Service) -> None:
    job_id = service.submit("echo one")
    service.wait(job_id)

    def type_of(accept: str, parameter: str = "") -> str:
        answer = service.client.head(f"/{job_id}/output{parameter}", headers={"Accept": accept})
        assert answer.status_code == 200
        return answer.headers["content-type"]

    assert type_of("application/x-ndjson") == "application/x-ndjson"
    assert type_of("application/jsonl") == "application/jsonl"
    assert type_of("application/jsonl, text/plain;q=0.5") == "application/jsonl"
    assert type_of("*/*", "?format=ndjson") == "application/x-ndjson"
    assert type_of("application/jsonl", "?format=ndjson") == "application/jsonl"
    assert type_of("text/html", "?format=asciicast") == "application/x-asciicast"
    assert type_of("application/*") == "application/octet-stream"
    assert type_of("text/html, */*;q=0.1") == "text/plain; charset=utf-8"
    docker = "application/vnd.docker.multiplexed-stream"
    assert type_of(docker) == docker


def test_records_say_what_was_dropped(service: Service) -> None:
    job_id = service.submit(
        {"CommandLine": "seq 200000; echo last", "OutputLimit": 200_000, "Name": "long"}
    )
    service.wait(job_id)
    view = service.show(job_id)["Output"]
    [(start, stop)] = view["Gaps"]
    found = records(service.client.get(f"/{job_id}/attach?format=ndjson"))
    [gap] = [each for each in found if each["Type"] == "gap"]
    assert (gap["From"], gap["To"]) == (start, stop)
    end = found[-1]
    assert (end["Bytes"], end["SHA256"]) == (view["Bytes"], None)
    expected = "".join(f"{n}\n" for n in range(1, 200_001)).encode() + b"last\n"
    assert data_of(found) == expected[:start] + expected[stop:]
    inside = records(service.client.get(f"/{job_id}/attach?format=ndjson&offset={start + 5}"))
    assert (inside[0]["From"], inside[0]["To"]) == (start + 5, stop)
    with pytest.raises(httpx.RemoteProtocolError):
        service.client.get(f"/{job_id}/attach?format=ndjson&gaps=cut")


def test_a_stream_of_records_continues_where_it_was_cut(service: Service, gate: Gate) -> None:
    job_id = service.submit(
        f"printf 'a\\nb'; read -r _ < {gate}; printf 'c\\303'; printf '\\244\\n'"
    )
    first = []
    with service.client.stream("GET", f"/{job_id}/attach?format=ndjson&lines=true") as answer:
        first.append(json.loads(next(answer.iter_lines())))
    gate.open()
    place = first[-1]["End"]
    url = f"/{job_id}/attach?format=ndjson&lines=true&offset={place}"
    rest = records(service.client.get(url))
    assert [each.get("Text") for each in first + rest] == ["a", "bcä", None]
    assert rest[-1]["Type"] == "end"


def test_trailers_have_the_end_record(service: Service, gate: Gate) -> None:
    for path, is_plain in (("attach", True), ("attach?format=ndjson", False)):
        job_id = service.submit(f"echo one; read -r _ < {gate}; exit 3")
        with contextlib.closing(socket.create_connection(("127.0.0.1", service.port))) as peer:
            peer.settimeout(FUSE_S)
            request = f"GET /{job_id}/{path} HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n"
            peer.sendall(request.encode() + b"Connection: TE, close\r\n\r\n")
            received = b""
            while b"one" not in received:  # of a job that has ended it would have no trailers
                received += (chunk := peer.recv(65536))
                assert chunk, received
            gate.open()
            while chunk := peer.recv(65536):
                received += chunk
        trailer = received.rpartition(b"\r\n0\r\n")[2].decode()
        digest = hashlib.sha256(b"one\n").hexdigest()
        assert f"Jobrunner-SHA256: {digest}\r\n" in trailer
        assert "Jobrunner-ExitCode: 3\r\n" in trailer
        # Known from now on, so it stands in the head.
        head = service.client.head(f"/{job_id}/attach").headers
        assert head["jobrunner-sha256"] == digest
        assert is_plain or b'"Type":"end"' in received


def test_a_job_without_output_ends_as_well(service: Service) -> None:
    job_id = service.submit("true")
    service.wait(job_id)
    [(place, name, end)] = events_until_end(service, job_id)
    assert (place, name, end["SHA256"]) == ("0.end", "end", hashlib.sha256(b"").hexdigest())
    assert service.client.get(f"/{job_id}/attach?format=docker").content == b""


def test_a_live_job_that_is_not_followed_has_no_digest_yet(service: Service, gate: Gate) -> None:
    job_id = service.submit(f"echo ready; read -r _ < {gate}")
    with service.client.stream("GET", f"/{job_id}/attach") as answer:
        assert next(answer.iter_lines()) == "ready"
    found = records(service.client.get(f"/{job_id}/attach?format=ndjson&follow=false"))
    assert (found[-1]["State"], found[-1]["SHA256"], found[-1]["Bytes"]) == ("running", None, 6)
    gate.open()
    service.wait(job_id)


def test_a_reader_of_events_that_reads_nothing_holds_nobody_up(service: Service) -> None:
    job_id = service.submit("seq 3000000; echo last")
    with contextlib.ExitStack() as stack:
        for name in ("sse", "ndjson", "docker", "asciicast", "text&timestamps=true"):
            stuck = stack.enter_context(
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.port))
            )
            stuck.request("GET", f"/{job_id}/attach?format={name}")
        found = records(service.client.get(f"/{job_id}/attach?format=ndjson"))
        assert found[-1]["State"] == "exited"
        assert found[-1]["SHA256"] == hashlib.sha256(data_of(found)).hexdigest()
        assert data_of(found).endswith(b"\n3000000\nlast\n")


def test_readers_of_all_formats_count_as_readers(state_dir, gate: Gate) -> None:
    with running(state_dir, environment={"JOBRUNNER_MAX_READERS": "2"}) as service:
        job_id = service.submit(f"echo ready; read -r _ < {gate}")
        kept = []
        with contextlib.ExitStack() as stack:
            for name in ("sse", "ndjson"):
                opened = service.client.stream("GET", f"/{job_id}/attach?format={name}")
                lines = stack.enter_context(opened).iter_lines()
                kept.append(lines)  # dropped, they are closed
                assert "ready" in next(line for line in lines if "Text" in line)
                assert readers(service, name) == 1
            answer = service.client.get(f"/{job_id}/attach?format=asciicast")
            assert_problem(answer, 503)
        gate.open()
        service.wait(job_id)


@pytest.mark.slow
def test_the_end_leaves_the_reader_some_time_to_close(state_dir) -> None:
    """Five real seconds."""
    with running(state_dir, environment={"JOBRUNNER_LOG_REQUESTS": "on"}) as service:
        job_id = service.submit("echo one")
        service.wait(job_id)
        answer = service.client.get(f"/{job_id}/attach", headers=SSE)
        assert 5 <= answer.elapsed.total_seconds() < 60
        assert answer.text.endswith("\n\n")
        events_until_end(service, job_id)
        closed = service.wait_for_line("/{ID}/attach", 2)
        assert "whole" in closed
        # One that is open then doesn't delay the end of the service.
        with service.client.stream("GET", f"/{job_id}/attach", headers=SSE) as answer:
            assert any(line == "event: end" for line in answer.iter_lines())
