"""Input over a WebSocket: bytes and channels, no faster than the job reads, and who may."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from answers import assert_problem
from gates import Gate, lines
from running import Service, running
from websocket_clients import V4, V5, BareClient, closed, exit_code, frame, joined, output
from websockets.frames import Opcode

from service.access import tokens
from service.access.scopes import Scope

pytestmark = [pytest.mark.e2e, pytest.mark.once]

ECHO = {"CommandLine": "cat", "Stdin": True}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner", workers=2) as service:
        yield service


def taken(service: Service, job_id: str) -> int:
    """Bytes of input so far."""
    octets = {"Content-Type": "application/octet-stream"}
    answer = service.client.post(f"/{job_id}/stdin", headers=octets)
    assert answer.status_code == 200, answer.text
    offset: int = answer.json()["Offset"]
    return offset


def test_bytes_go_in_as_they_are_and_any_number_of_writers_share_a_job(service: Service) -> None:
    job_id = service.submit(ECHO)
    with joined(service, job_id) as one, joined(service, job_id) as two:
        one.send(b"\x00\xff")
        assert one.recv() == two.recv() == b"\x00\xff"
        two.send("text, Grüße")
        assert one.recv() == two.recv() == "text, Grüße".encode()
    assert service.show(job_id)["State"] == "running"  # nothing depends on who is connected
    with joined(service, job_id, "offset=2", V5) as three:
        three.send(b"\x00!")
        three.send(b"\xff\x00")
        came, code, _ = closed(three)
    assert (output(came)[1], exit_code(came), code) == ("text, Grüße!".encode(), 0, 1000)


def test_a_text_message_is_input_as_kubernetes_for_python_sends_it(service: Service) -> None:
    job_id = service.submit({"CommandLine": "head -c 3", "Stdin": True})
    with joined(service, job_id, "", V4) as connection:
        connection.send("\x00abc")
        assert output(closed(connection)[0])[1] == b"abc"


def test_megabytes_go_in_no_faster_than_the_job_reads(service: Service, gate: Gate) -> None:
    data = random.Random(1).randbytes(8 << 20)
    job_id = service.submit({"CommandLine": f"read -r _ < {gate}; sha256sum", "Stdin": True})
    with joined(service, job_id, "", V5) as connection:
        for at in range(0, len(data), 100_000):
            if at == 3_000_000:
                assert taken(service, job_id) < 300_000  # a pipe, and what waits behind it
                gate.open()
            connection.send(b"\x00" + data[at : at + 100_000])
        connection.send(b"\xff\x00")
        came, _, _ = closed(connection)
    assert output(came)[1].split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_writer_whose_job_does_not_read_stalls_alone_and_costs_no_memory(
    service: Service, gate: Gate
) -> None:
    job_id = service.submit({"CommandLine": f"echo ready; read -r _ < {gate}", "Stdin": True})
    with BareClient(service, job_id) as writer, joined(service, job_id, "stdin=false") as other:
        assert other.recv() == b"ready\n"
        writer.socket.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 50 << 20:
                sent += writer.socket.send(frame(Opcode.BINARY, bytes(10_000)))
        assert sent < 16 << 20  # the kernel's buffers of both ends
        gate.open()
        assert closed(other)[1] == 1000
        writer.socket.settimeout(300)
        assert writer.close_code() == 1000  # what it has sent is thrown away


def test_a_client_that_ends_at_once_has_typed_what_it_sent(service: Service) -> None:
    job_id = service.submit(
        {"CommandLine": "read -r a; echo $a; read -r b; echo $b", "Stdin": True}
    )
    with joined(service, job_id) as connection:
        connection.send(b"one\n")
    # What two clients send has no order before the job has got the first.
    assert lines(service, job_id, 1) == ["one"]
    with BareClient(service, job_id, behind=frame(Opcode.BINARY, b"two\n")):
        pass
    service.wait(job_id)
    assert service.output(job_id) == b"one\ntwo\n"


def test_input_of_a_pending_job_waits_for_its_start(state_dir: Path, gate: Gate) -> None:
    with running(state_dir, environment={"JOBRUNNER_MAX_RUNNING": "1"}) as service:
        first = service.submit(f"read -r _ < {gate}")
        job_id = service.submit({"CommandLine": "head -n 1", "Stdin": True})
        with joined(service, job_id) as connection:
            connection.send(b"early\n")
            gate.open()
            assert b"".join(closed(connection)[0]) == b"early\n"
        service.wait(first)


def test_what_nobody_reads_any_more_is_thrown_away_and_the_exit_code_still_comes(
    service: Service, gate: Gate
) -> None:
    job_id = service.submit(
        {"CommandLine": f"head -n 1; read -r _ < {gate}; exit 4", "Stdin": True}
    )
    with joined(service, job_id, "", V5) as connection:
        connection.send(b"\x00" + b"line\n" * 200_000)
        assert connection.recv() == b"\x01line\n"
        connection.send(b"\x00more\n")
        connection.send(b"\xff\x00")
        gate.open()
        came, code, _ = closed(connection)
    assert (exit_code(came), code) == (4, 1000)


def test_who_may_write_is_decided_before_the_upgrade(state_dir: Path) -> None:
    state_dir.mkdir()
    run = {"Authorization": f"Bearer {tokens.create(state_dir, 'ann', [Scope.RUN])[1]}"}
    text = tokens.create(state_dir, "ann-reads", [Scope.READ], principal="ann")[1]
    read = {"Authorization": f"Bearer {text}"}
    with running(state_dir) as service:
        job_id = service.submit({"CommandLine": "head -n 1", "Stdin": True}, **run)
        without = service.submit("sleep 300; true", **run)
        for headers, job, status, code in (
            (read, job_id, 403, "missing_scope"),
            (run, without, 409, "no_input"),
        ):
            handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                         "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}  # fmt: skip
            answer = service.client.get(f"/{job}/ws?stdin=true", headers=handshake)
            assert assert_problem(answer, status)["type"].endswith(code)
        with joined(service, job_id, additional_headers=read) as watching:
            watching.send(b"mine\n")
            assert closed(watching)[1:] == (1008, "input needs a token with the scope 'run'")
        with joined(service, job_id, "stdin=false", additional_headers=run) as quiet:
            quiet.send(b"mine\n")
            assert closed(quiet)[1] == 1008
        with joined(service, job_id, additional_headers=run) as writing:
            writing.send(b"secret words\n")
            assert closed(writing)[:2] == ([b"secret words\n"], 1000)
        service.client.delete(f"/{without}?grace=0", headers=run)
    log = (state_dir / "audit.log").read_text()
    assert "secret" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert [(x["principal"], x["job"]) for x in lines if x["action"] == "input"] == [
        ("ann", job_id)
    ]


def test_the_death_of_a_worker_ends_no_input(service: Service) -> None:
    job_id = service.submit(ECHO)
    with joined(service, job_id, "", V5) as connection:
        connection.send(b"\x00before ")
        assert connection.recv() == b"\x01before "
        ready = len(service.worker_pids())
        for pid in service.worker_pids()[-2:]:
            os.kill(pid, signal.SIGKILL)
        service.wait_for_line("worker_ready", ready + 2)
    with joined(service, job_id, "", V5) as connection:
        connection.send(b"\x00after")
        connection.send(b"\xff\x00")
        came, code, _ = closed(connection)
    assert (output(came)[1], code) == (b"before after", 1000)
