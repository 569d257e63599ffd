"""`POST /<ID>/stdin`: what is written comes out once, whoever is cut, killed or upgraded meanwhile."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gates import Gate
from running import Service

pytestmark = pytest.mark.e2e
WORKERS = 2

PIPE_BYTES = 64 << 10


def job(line: str, **keys: Any) -> dict[str, Any]:
    return {"CommandLine": line, "Stdin": True, **keys}


def write(
    service: Service, job_id: str, data: bytes | Iterator[bytes] = b"", **parameters: Any
) -> httpx.Response:
    return service.client.post(f"/{job_id}/stdin", content=data, params=parameters)


def offset_of(answer: httpx.Response) -> int:
    """Where the input goes on, as a success or a refusal says."""
    body = answer.json()
    if answer.status_code == 200:
        assert list(body) == ["Offset"]
        return body["Offset"]  # type: ignore[no-any-return]
    assert answer.status_code == 409, answer.text
    assert answer.headers["Jobrunner-Offset"] == str(body["offset"])
    return body["offset"]  # type: ignore[no-any-return]


def code_of(answer: httpx.Response) -> str:
    code: str = answer.json()["type"].rpartition(":")[2]
    return code


def test_pieces_go_in_and_the_end_ends_the_job(service: Service):
    job_id = service.submit(job("cat"))
    assert offset_of(write(service, job_id, b"one\n")) == 4
    assert offset_of(write(service, job_id, b"two\n", offset=4)) == 8
    assert offset_of(write(service, job_id)) == 8
    assert offset_of(write(service, job_id, b"three\n", eof="true")) == 14
    assert service.wait(job_id)["ExitCode"] == 0
    assert service.output(job_id) == b"one\ntwo\nthree\n"
    assert service.show(job_id)["Stdin"] is True
    assert service.show(service.submit("true"))["Stdin"] is False


def test_a_wrong_offset_is_refused_and_says_the_present_one(service: Service):
    job_id = service.submit(job("cat"))
    write(service, job_id, b"abc")
    for wrong in (0, 2, 4, 2**63 - 1):
        answer = write(service, job_id, b"xyz", offset=wrong)
        assert (code_of(answer), offset_of(answer)) == ("input_offset", 3)
    write(service, job_id, b"def", offset=3, eof="true")
    service.wait(job_id)
    assert service.output(job_id) == b"abcdef"


def test_after_the_end_nothing_is_taken_and_the_end_may_be_repeated(service: Service, gate: Gate):
    job_id = service.submit(job(f"cat; read -r _ < {gate}"))
    for _ in range(2):
        assert offset_of(write(service, job_id, eof="true")) == 0
    answer = write(service, job_id, b"more")
    assert (code_of(answer), offset_of(answer)) == ("input_closed", 0)
    gate.open()
    service.wait(job_id)
    answer = write(service, job_id, b"more")
    assert (code_of(answer), offset_of(answer)) == ("input_closed", 0)


@pytest.mark.parametrize("job_id", ["nope", "%28%F3%A1%8A%A2%C2%8F%13", "-x"])
def test_an_unknown_job_is_not_found_whatever_its_id(service: Service, job_id: str):
    for parameters in ({}, {"eof": "true"}, {"offset": 3}):
        answer = write(service, job_id, b"x", **parameters)
        assert (answer.status_code, code_of(answer)) == (404, "unknown_job")


@pytest.mark.parametrize("state", ["running", "finished", "pending"])
def test_a_job_without_input_says_so(service: Service, gate: Gate, state: str):
    job_id = service.submit({"CommandLine": f"read -r _ < {gate}", "Hold": state == "pending"})
    if state == "finished":
        gate.open()
        service.wait(job_id)
    answer = write(service, job_id, b"x")
    assert (answer.status_code, code_of(answer)) == (409, "no_input")
    service.kill(job_id, grace=0, wait="true")


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("00000000-0000-4000-8000-000000000000/stdin", {}, (404, "unknown_job")),
        ("JOB/stdin?offset=-1", {}, (400, "bad_query")),
        ("JOB/stdin?offset=x", {}, (400, "bad_query")),
        ("JOB/stdin?offset=9223372036854775808", {}, (400, "bad_query")),
        ("JOB/stdin?eof=perhaps", {}, (400, "bad_query")),
        ("JOB/stdin?end=true", {}, (400, "bad_query")),
        ("JOB/stdin", {"Content-Type": "text/plain"}, (415, "unsupported_media_type")),
        ("JOB/stdin", {"Origin": "https://elsewhere.example"}, (403, "origin_not_allowed")),
    ],
)
def test_a_bad_request_is_refused_and_nothing_is_taken(
    service: Service, path: str, headers: dict[str, str], expected: tuple[int, str]
):
    job_id = service.submit(job("cat"))
    answer = service.client.post(path.replace("JOB", job_id), content=b"x", headers=headers)
    assert (answer.status_code, code_of(answer)) == expected
    assert offset_of(write(service, job_id, eof="true")) == 0
    service.wait(job_id)


def test_input_of_a_pending_job_waits_for_its_start(service: Service):
    job_id = service.submit(job("cat", Hold=True))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, service, job_id, b"early\n", eof="true")
        assert not concurrent.futures.wait([writing], 0.2).done
        service.client.post(f"/{job_id}/release")
        assert offset_of(writing.result()) == 6
    service.wait(job_id)
    assert service.output(job_id) == b"early\n"


def test_input_of_a_pending_job_that_is_killed_is_refused(service: Service):
    job_id = service.submit(job("cat", Hold=True))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, service, job_id, b"early\n")
        assert not concurrent.futures.wait([writing], 0.2).done
        service.kill(job_id)
        assert code_of(writing.result()) == "job_not_running"


def test_commands_of_a_sequence_share_one_input(service: Service):
    lines = [f"read -r line; echo {n} $line" for n in range(3)]
    commands = [{"CommandLine": line} for line in lines] + [{"CommandLine": "cat"}]
    job_id = service.submit({"Commands": commands, "Stdin": True})
    write(service, job_id, b"a\nb\nc\nthe rest", eof="true")
    service.wait(job_id)
    assert service.output(job_id) == b"0 a\n1 b\n2 c\nthe rest"


def test_one_that_does_not_read_stalls_its_writer_alone(service: Service, gate: Gate):
    """It waits; other requests, jobs and workers don't, and neither holds the body."""
    job_id = service.submit(job(f"read -r _ < {gate}; cat | sha256sum"))
    size = 8 << 20
    sent, hashed = 0, hashlib.sha256()

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for n in range(size // PIPE_BYTES):
            piece = bytes([n % 251]) * PIPE_BYTES
            hashed.update(piece)
            sent += len(piece)
            yield piece

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, service, job_id, endless(), eof="true")
        while offset_of(write(service, job_id)) <= PIPE_BYTES:
            assert not writing.done()
        for _ in range(20):
            assert service.run("true")["ExitCode"] == 0
        assert offset_of(write(service, job_id)) <= PIPE_BYTES * 2
        assert sent < size
        gate.open()
        assert offset_of(writing.result()) == size
    service.wait(job_id)
    assert service.output(job_id).split()[0].decode() == hashed.hexdigest()


@pytest.mark.parametrize("how", ["kill", "exit", "close"])
def test_a_writer_that_waits_is_told_when_the_job_reads_no_more(
    service: Service, gate: Gate, how: str
):
    after = "exec 0<&-; sleep 600" if how == "close" else "true"
    job_id = service.submit(job(f"read -r _ < {gate}; {after}"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, service, job_id, bytes(PIPE_BYTES * 3))
        while offset_of(write(service, job_id)) <= PIPE_BYTES:
            assert not writing.done()
        if how == "kill":
            service.kill(job_id, grace=0)
        else:
            gate.open()
        answer = writing.result()
    assert code_of(answer) == "input_closed"
    taken = offset_of(answer)
    service.kill(job_id, grace=0)
    service.wait(job_id)
    assert offset_of(write(service, job_id, b"x", offset=taken)) == taken


def test_two_writers_are_told_apart(service: Service):
    """Of two bodies at the same offset one is taken, and neither is in the middle of the other."""
    job_id = service.submit(job("cat"))
    bodies = [bytes([letter]) * (3 * PIPE_BYTES) for letter in b"AB"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda body: write(service, job_id, body, offset=0), bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    end = offset_of(write(service, job_id, eof="true"))
    service.wait(job_id)
    winner = bodies[[answer.status_code for answer in answers].index(200)]
    assert end == len(winner)
    assert service.output(job_id) == winner


def raw(service: Service, job_id: str, head: str, body: bytes) -> socket.socket:
    """A request of which this much was sent."""
    connection = socket.create_connection(("127.0.0.1", service.port))
    lines = f"POST /{job_id}/stdin?offset=0 HTTP/1.1\r\nHost: localhost\r\n{head}\r\n"
    connection.sendall(lines.encode() + body)
    return connection


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 100\r\n", b"partly"),
        ("Transfer-Encoding: chunked\r\n", b"6\r\npartly\r\n"),
        ("Transfer-Encoding: chunked\r\n", b"3\r\npar\r\n3\r\ntly\r\nzz\r\n"),
    ],
)
def test_what_was_taken_of_a_request_that_is_cut_is_counted(
    service: Service, head: str, body: bytes
):
    job_id = service.submit(job("cat"))
    with raw(service, job_id, head, body):
        while offset_of(write(service, job_id)) < 6:
            pass
    answer = write(service, job_id, b"all of it", offset=0)
    assert (answer.status_code, offset_of(answer)) == (409, 6)
    write(service, job_id, b" and the rest\n", offset=6, eof="true")
    service.wait(job_id)
    assert service.output(job_id) == b"partly and the rest\n"


def test_a_refused_body_is_not_asked_for(service: Service):
    job_id = service.submit("sleep 600")
    head = "Expect: 100-continue\r\nContent-Length: 1000000000000\r\n"
    with raw(service, job_id, head, b"") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 409")
    service.kill(job_id, grace=0)


def test_curl_streams_into_a_job(service: Service, tmp_path: Path):
    """From a pipe, as long as that has more, without `Content-Length`."""
    job_id = service.submit(job("sha256sum"))
    content = random.Random(3).randbytes(1 << 20)
    url = f"{service.url}/{job_id}/stdin?eof=true"
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "-X", "POST", "-T", "-", url],
        input=content,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"Offset": len(content)}
    service.wait(job_id)
    assert service.output(job_id).split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_a_job_may_be_run_again_with_its_input(service: Service):
    first = service.submit(job("cat"))
    write(service, first, b"once", eof="true")
    service.wait(first)
    again = service.client.post(f"/{first}/rerun").json()["ID"]
    write(service, again, b"twice", eof="true")
    service.wait(again)
    assert service.output(again) == b"twice"


def test_the_audit_log_says_that_something_was_written_and_not_what(service: Service):
    job_id = service.submit(job("cat"))
    write(service, job_id, b"hunter2", eof="true")
    service.wait(job_id)
    lines = [
        line
        for line in (service.state_dir / "audit.log").read_text().splitlines()
        if job_id in line
    ]
    assert any('"input"' in line for line in lines), lines
    assert not any("hunter2" in line for line in lines)
