"""The output over a WebSocket: replayed and live, in each subprotocol, and all that is refused before the upgrade."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from gates import Gate
from running import RELOADABLE, Service, running
from waiting import until
from websocket_clients import (
    V4,
    V5,
    BareClient,
    closed,
    exit_code,
    frame,
    joined,
    output,
)
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.frames import Opcode

from service.access import tokens
from service.access.scopes import Scope

pytestmark = [pytest.mark.e2e, pytest.mark.once]

UNKNOWN = "00000000-0000-4000-8000-000000000000"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, workers=2, **RELOADABLE) as made:
        yield made


def readers(service: Service) -> float:
    text = service.client.get("/metrics").text
    name = 'jobrunner_attached_readers{format="websocket"} '
    return sum(float(x.removeprefix(name)) for x in text.splitlines() if x.startswith(name))


# Reading


def test_bytes_are_replayed_then_follow_live_until_the_end(service: Service, gate: Gate) -> None:
    job_id = service.submit(f"printf 'one\\377'; read -r _ < {gate}; echo two >&2; exit 3")
    with joined(service, job_id) as late:
        assert late.recv() == b"one\xff"
        assert readers(service) >= 1
        gate.open()
        came, code, _ = closed(late)
    assert (b"".join(came), code) == (b"two\n", 1000)
    with joined(service, job_id) as replay:
        assert b"".join(closed(replay)[0]) == b"one\xfftwo\n"
    until(lambda: readers(service) == 0)


@pytest.mark.parametrize("subprotocol", [V4, V5])
def test_kubernetes_channels_tell_streams_and_exit_code(service: Service, subprotocol: str) -> None:
    job_id = service.submit("echo out; echo err >&2; exit 7")
    with joined(service, job_id, "", subprotocol) as connection:
        assert connection.subprotocol == subprotocol
        came, code, _ = closed(connection)
    assert code == 1000
    found = output(came)
    assert (found[1], found[2], exit_code(came)) == (b"out\n", b"err\n", 7)
    assert list(found)[-1] == 3  # behind all output
    with joined(service, service.submit("true"), "", subprotocol) as connection:
        assert exit_code(closed(connection)[0]) == 0


def test_a_job_without_output_and_one_that_waits_are_followed_to_their_end(
    service: Service,
) -> None:
    with joined(service, service.submit("true")) as connection:
        assert closed(connection)[:2] == ([], 1000)


def test_an_offset_is_where_it_begins(service: Service) -> None:
    job_id = service.submit("printf 0123456789")
    service.wait(job_id)
    for offset, begin in ((0, 0), (4, 4), (10, 10), (-3, 7), (-99, 0)):
        with joined(service, job_id, f"offset={offset}") as connection:
            assert connection.response is not None
            assert connection.response.headers["Jobrunner-Offset"] == str(begin)
            assert b"".join(closed(connection)[0]) == b"0123456789"[begin:]


def test_megabytes_come_whole_in_both_forms(service: Service) -> None:
    job_id = service.submit("head -c 3000000 /dev/urandom; head -c 300000 /dev/urandom >&2")
    service.wait(job_id)
    with joined(service, job_id) as connection:
        assert b"".join(closed(connection)[0]) == service.output(job_id)
    with joined(service, job_id, "", V5) as connection:
        found = output(closed(connection)[0])
    assert found[1] == service.output(job_id, stream="stdout")
    assert found[2] == service.output(job_id, stream="stderr")


def test_a_job_that_is_killed_says_so_in_its_status(service: Service, gate: Gate) -> None:
    job_id = service.submit(f"echo ready; read -r _ < {gate}")
    with joined(service, job_id, "", V4) as connection:
        assert connection.recv() == b"\x01ready\n"
        service.kill(job_id, grace=0)
        assert exit_code(closed(connection)[0]) == 137


def test_what_was_dropped_cuts_it_and_says_where_it_goes_on(service: Service, gate: Gate) -> None:
    lines = "for n in $(seq 40000); do echo line $n; done"
    job_id = service.submit({"CommandLine": lines, "OutputLimit": 65536})
    [[begin, end]] = service.wait(job_id)["Output"]["Gaps"]
    with joined(service, job_id) as connection:
        came, code, reason = closed(connection)
    assert (len(b"".join(came)), code) == (begin, 1011)
    assert str(end) in reason
    with joined(service, job_id, f"offset={end}") as connection:
        came, code, _ = closed(connection)
    assert (b"".join(came)[-11:], code) == (b"line 40000\n", 1000)
    inside = service.client.get(f"/{job_id}/ws?offset={begin + 1}", headers=HANDSHAKE)
    assert assert_problem(inside, 416)["gap"] == [begin, end]


def test_one_that_watches_may_not_write_and_is_told(service: Service, gate: Gate) -> None:
    job_id = service.submit(f"read -r _ < {gate}")
    for said in (b"x", "x"):
        with joined(service, job_id) as connection:
            connection.send(said)
            assert closed(connection)[1:] == (1008, "this job has no input")
    with joined(service, job_id, "", V5) as connection:
        connection.send(b'\x04{"Width":80,"Height":24}')  # of no consequence
        connection.send(b"\x00x")
        assert closed(connection)[1] == 1008
    gate.open()


def test_a_client_that_closes_is_answered_and_is_no_reader_any_more(
    service: Service, gate: Gate
) -> None:
    job_id = service.submit(f"echo ready; read -r _ < {gate}")
    with joined(service, job_id) as connection:
        assert connection.recv() == b"ready\n"
        connection.close(4321, "bye")
        assert connection.protocol.close_rcvd is not None
        assert connection.protocol.close_rcvd.code == 4321
    with BareClient(service, job_id) as bare:
        bare.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: readers(service) == 0)
    gate.open()


# What is wrong about frames


def test_broken_frames_end_the_connection_with_the_code_for_it(
    service: Service, gate: Gate
) -> None:
    job_id = service.submit(f"read -r _ < {gate}")
    too_long = struct.pack(">BBQ", 0x82, 0xFF, (1 << 20) + 1) + bytes(4)
    for wire, code in (
        (b"\x82\x01x", 1002),  # unmasked
        (frame(Opcode.CONT, b"x"), 1002),
        (b"\xf2\x80" + bytes(4), 1002),  # bits of an extension
        (too_long, 1009),
        (frame(Opcode.TEXT, b"\xff"), 1007),
        (frame(Opcode.TEXT, b"\xe2\x82", fin=False) + frame(Opcode.CONT, b"("), 1007),
    ):
        with BareClient(service, job_id) as bare:
            bare.socket.sendall(wire)
            assert bare.close_code() == code, wire[:8]
        with BareClient(service, job_id, behind=wire) as bare:  # in one piece with the handshake
            assert bare.close_code() == code, wire[:8]
    gate.open()


def test_pings_are_answered_also_between_the_parts_of_a_message(
    service: Service, gate: Gate
) -> None:
    job_id = service.submit(f"echo ready; read -r _ < {gate}")
    with BareClient(service, job_id, "offset=0") as bare:
        bare.send(Opcode.BINARY, b"", fin=False)
        bare.send(Opcode.PING, b"there?")
        bare.send(Opcode.CONT, b"")
        pong = next(f for f in bare.frames() if f.opcode is Opcode.PONG)
        assert bytes(pong.data) == b"there?"
        gate.open()
        assert bare.close_code() == 1000


def memory_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1]
    return int(fields.split()[0]) * 1024


def test_one_that_pings_and_reads_nothing_stalls_nobody_and_costs_no_memory(
    service: Service, gate: Gate
) -> None:
    job_id = service.submit(f"head -c 30000000 /dev/zero; echo; echo ready; read -r _ < {gate}")
    with BareClient(service, job_id) as stalled:
        with joined(service, job_id) as other:
            got = 0
            while got < 30_000_007:
                got += len(other.recv())
            before = [memory_of(pid) for pid in service.worker_pids()[-2:]]
            stalled.socket.settimeout(0.5)
            wire = frame(Opcode.PING, b"x" * 125) * 500
            try:  # 20 MB, whose pongs nobody takes; or as many as it takes of them
                for _ in range(300):
                    stalled.socket.sendall(wire)
            except TimeoutError:
                pass
            gate.open()
            assert closed(other)[1] == 1000
        after = [memory_of(pid) for pid in service.worker_pids()[-2:]]
        assert max(b - a for a, b in zip(before, after, strict=True)) < 12 << 20


# What is refused before the upgrade


@pytest.mark.parametrize(
    ("path", "changes", "status", "code"),
    [
        (UNKNOWN, {}, 404, "unknown_job"),
        ("{job}", {"Connection": "keep-alive"}, 426, "upgrade_required"),
        ("{job}", {"Sec-WebSocket-Version": "8"}, 426, "upgrade_required"),
        ("{job}", {"Sec-WebSocket-Key": "short"}, 400, "bad_header"),
        ("{job}", {"Sec-WebSocket-Protocol": "channel.k8s.io"}, 400, "bad_header"),
        ("{job}", {"Origin": "http://evil.example"}, 403, "origin_not_allowed"),
        ("{job}", {"Origin": "null"}, 403, "origin_not_allowed"),
        ("{job}", {"Sec-Fetch-Site": "cross-site"}, 403, "origin_not_allowed"),
        ("{job}", {"Host": "rebound.example"}, 403, "host_not_allowed"),
        (UNKNOWN, {"Host": "rebound.example"}, 403, "host_not_allowed"),
    ],
)
def test_a_refusal_is_a_problem_document(
    service: Service, path: str, changes: dict[str, str], status: int, code: str
) -> None:
    job_id = service.submit("true")
    url = f"/{path.format(job=job_id)}/ws"
    answer = service.client.get(url, headers={**HANDSHAKE, **changes})
    assert assert_problem(answer, status)["type"].endswith(code)
    assert answer.headers.get("upgrade") == ("websocket" if status == 426 else None)


@pytest.mark.parametrize("query", ["offset=x", "offset=1&offset=2", "ofset=1", "follow=true"])
def test_a_wrong_parameter_is_refused(service: Service, query: str) -> None:
    job_id = service.submit("true")
    assert_problem(service.client.get(f"/{job_id}/ws?{query}", headers=HANDSHAKE), 400)


def test_an_offset_beyond_the_end_is_refused(service: Service) -> None:
    job_id = service.submit("echo")
    service.wait(job_id)
    answer = service.client.get(f"/{job_id}/ws?offset=2", headers=HANDSHAKE)
    assert assert_problem(answer, 416)["end"] == 1


def test_tokens_scopes_and_owners_are_checked_before_the_upgrade(
    state_dir: Path, gate: Gate
) -> None:
    state_dir.mkdir()
    secrets = {
        name: tokens.create(state_dir, name, [scope])[1]
        for name, scope in (("ann", Scope.RUN), ("bob", Scope.RUN), ("eve", Scope.ADMIN))
    }
    bearer = {name: {"Authorization": f"Bearer {text}"} for name, text in secrets.items()}
    _, text = tokens.create(state_dir, "ann-reads", [Scope.READ], principal="ann")
    reading = {"Authorization": f"Bearer {text}"}
    page = "https://page.example"
    settings = {"JOBRUNNER_MAX_READERS": "2", "JOBRUNNER_ALLOWED_ORIGINS": page}
    with running(state_dir, environment=settings) as service:
        job_id = service.submit(f"echo ready; read -r _ < {gate}", **bearer["ann"])
        for headers, status in (({}, 401), (bearer["bob"], 404), ({"Authorization": "x"}, 401)):
            with pytest.raises(InvalidStatus) as caught:
                with joined(service, job_id, additional_headers=headers):
                    pass
            response = caught.value.response
            assert response.status_code == status
            assert response.body is not None
            assert json.loads(response.body)["status"] == status
        with (
            joined(service, job_id, additional_headers=reading) as watching,
            joined(service, job_id, additional_headers=bearer["eve"], origin=page) as other,
        ):
            assert watching.recv() == other.recv() == b"ready\n"
            with pytest.raises(InvalidStatus) as caught:
                with joined(service, job_id, additional_headers=bearer["ann"]):
                    pass
            assert caught.value.response.status_code == 503
            tokens.revoke(state_dir, "ann-reads")
            assert closed(watching)[1] == 1008
            gate.open()
            assert closed(other)[1] == 1000
    lines = [json.loads(x) for x in (state_dir / "audit.log").read_bytes().splitlines()]
    attached = [x for x in lines if x["action"] == "attach"]
    assert [x["principal"] for x in attached] == ["ann", "eve"]
    assert "foreign_job" in {x.get("code") for x in lines}


# What happens to the worker


def follow(service: Service, job_id: str, events: list[Any]) -> tuple[bytes, list[int]]:
    """All output, by connecting again at the offset after every end but the last; the codes of the
    ends, 1006 where none came. Each event ends a connection of its own: what one has sent before,
    in however many messages, is read behind it.
    """
    came, codes = b"", [0]
    while codes[-1] != 1000:
        try:
            with joined(service, job_id, f"offset={len(came)}", ping_interval=None) as connection:
                is_ending = False
                while True:
                    if events and len(came) > 40_000 and not is_ending:
                        is_ending = True
                        events.pop()()
                    message = connection.recv()
                    assert isinstance(message, bytes)
                    came += message
        except ConnectionClosed as exc:
            codes.append(1006 if exc.rcvd is None else exc.rcvd.code)
        except (OSError, EOFError, InvalidMessage):
            continue  # nobody listens at this moment
    return came, codes


def test_a_reload_says_1001_and_it_goes_on_at_the_offset_also_after_a_kill(
    service: Service, gate: Gate
) -> None:
    job_id = service.submit(f"seq 20000; read -r _ < {gate}; seq 20000; read -r _ < {gate}; seq 9")

    def reload() -> None:
        ready = len(service.worker_pids())
        assert service.client.post("/restart-all").status_code == 200
        service.wait_for_line("worker_ready", ready + 2)
        gate.open(2)

    def kill() -> None:
        ready = len(service.worker_pids())
        for pid in service.worker_pids()[-2:]:
            os.kill(pid, signal.SIGKILL)
        service.wait_for_line("worker_ready", ready + 2)

    came, codes = follow(service, job_id, [reload, kill])
    assert came == service.output(job_id)
    assert (1001 in codes, codes[-1]) == (True, 1000)
