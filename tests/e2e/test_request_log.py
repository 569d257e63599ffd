"""One line a request, on its end, when asked for; and every line of the service can be parsed."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from answers import raw
from gates import attached
from running import Service, running

pytestmark = pytest.mark.e2e

SECRET = "hunter2"


def logging_service(state_dir: Path, log_format: str, *flags: str) -> Any:
    settings = {"JOBRUNNER_LOG_FORMAT": log_format, "JOBRUNNER_LOG_REQUESTS": "on"}
    return running(state_dir, *flags, environment=settings)


def test_every_line_is_json_from_the_start_to_the_end(state_dir: Path):
    with logging_service(state_dir, "json", "--workers", "2") as service:
        service.run("echo x")
        service.client.get("/none")
        service.client.post("/", content=b"{")
        service.kill(service.submit("sleep 600"), wait="true")
    lines = [json.loads(line) for line in service.lines]
    assert len(lines) > 10
    for line in lines:
        assert re.fullmatch("[a-z_]+", line["event"])
        assert line["level"] in ("info", "warning", "error")
        assert line["timestamp"]


@pytest.mark.parametrize("flags", [("--workers", "1"), ("--single-process",)])
def test_a_request_is_one_line_with_what_was_answered(state_dir: Path, flags: tuple[str, ...]):
    with logging_service(state_dir, "json", *flags) as service:
        job_id = service.run("printf 12345")["ID"]
        service.output(job_id)
        service.client.head(f"/{job_id}")
        service.client.get("/none")
        service.client.delete("/a/b/c")
        raw(service, b"nonsense\r\n\r\n")
    said = [line for line in map(json.loads, service.lines) if line["event"] == "request"]
    kept = ("method", "route", "status", "bytes", "ended")
    assert all(line["duration_ms"] >= 0 for line in said)
    lines = [tuple(line.get(key) for key in kept) for line in said]
    # The size of an answer is that of its body.
    assert [line[:3] for line in lines] == [
        ("GET", "/health/ready", 200),
        ("POST", "/", 201),
        ("GET", "/{ID}/wait", 200),
        ("GET", "/{ID}/attach", 200),
        ("HEAD", "/{ID}", 200),
        ("GET", "/{ID}", 404),
        ("DELETE", "none", 404),
        ("none", "none", 400),
    ]
    assert lines[1][3] == len(f'{{"ID":"{job_id}"}}\n')
    assert lines[3][3:] == (5, "whole")
    assert lines[4][3:] == (0, None)


def test_a_stream_is_logged_when_it_ended_and_whether_it_was_cut(state_dir: Path):
    with logging_service(state_dir, "json") as service:
        job_id = service.submit("echo ready; exec sleep 600")
        with attached(service, job_id) as lines:
            assert next(lines) == "ready"
            assert not [line for line in service.lines if "/attach" in line]
        cut = json.loads(service.wait_for_line('"/{ID}/attach"'))
        assert (cut["status"], cut["bytes"], cut["ended"]) == (200, 6, "cut")
        service.kill(job_id, wait="true")
        service.output(job_id)
        whole = json.loads(service.wait_for_line('"/{ID}/attach"', 2))
        assert (whole["status"], whole["bytes"], whole["ended"]) == (200, 6, "whole")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_has_what_was_asked_for_run_or_written(state_dir: Path, log_format: str):
    with logging_service(state_dir, log_format) as service:
        headers = {"Idempotency-Key": SECRET, "Authorization": f"Bearer {SECRET}"}
        job = {
            "CommandLine": f"echo {SECRET}",
            "Environment": {"TOKEN": SECRET},
            "Name": SECRET,
            "WorkingDir": SECRET,
        }
        job_id = service.submit(job, **headers)
        service.wait(job_id)
        service.output(job_id)
        for path in (f"/?name={SECRET}", f"/?{SECRET}=1", f"/{job_id}/wait?timeout={SECRET}"):
            service.client.get(path, headers=headers)
        service.client.post("/", json={**job, "Environment": [SECRET]})
        running_id = service.submit("echo ready; exec sleep 600")
        with attached(service, running_id, offset="0", gaps="mark") as lines:
            assert next(lines) == "ready"
        service.wait_for_line("/{ID}/attach", 2)
        with socket.create_connection(("127.0.0.1", service.port), 60) as connection:
            connection.sendall(
                f"GET /{running_id}/wait?timeout=600 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            )
        gone = service.wait_for_line("/{ID}/wait", 3)  # its client went away
        assert "none" in gone.lower() or "null" in gone
        service.kill(running_id, wait="true")
    assert [line for line in service.lines if SECRET in line] == []
    requests = [line for line in service.lines if "route" in line]
    assert [line for line in requests if "?" in line] == []
    assert [line for line in service.lines if "request_failed" in line] == []


def test_requests_are_not_logged_unless_asked_for(service: Service):
    service.run("true")
    assert not [line for line in service.lines if " request " in line or "POST" in line]


def test_text_lines_have_the_same_fields(state_dir: Path):
    with logging_service(state_dir, "text") as service:
        service.client.get("/none")
        line = service.wait_for_line("status=404")
    fields = dict(re.findall(r"(\w+)=(\S+)", line))
    assert fields.pop("duration_ms")
    assert fields.pop("bytes")
    assert fields == {"method": "GET", "route": "/{ID}", "status": "404"}
    assert re.search(r"\[info +\] request ", line)
