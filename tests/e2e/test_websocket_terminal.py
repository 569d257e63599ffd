"""A terminal over a WebSocket: its size before the first line, keys, resizes, and the foreground group."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from answers import assert_problem
from gates import Gate
from running import Service, running
from websocket_clients import EXACT, V5, closed, exit_code, joined, output
from websockets.sync.client import ClientConnection

pytestmark = [pytest.mark.e2e, pytest.mark.once]

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner") as service:
        yield service


def until(connection: ClientConnection, text: bytes, channel: bytes = b"") -> bytes:
    """What has come once `text` has."""
    came = b""
    while text not in came:
        message = connection.recv(timeout=300)
        assert isinstance(message, bytes)
        assert message.startswith(channel)
        came += message.removeprefix(channel)
    return came


def test_keys_are_typed_and_echoed_and_ctrl_c_and_ctrl_d_act(service: Service) -> None:
    job_id = service.submit({"CommandLine": "stty size; cat; echo $?; cat; exit 5", "TTY": {}})
    with joined(service, job_id) as connection:
        until(connection, b"24 80\r\n")
        connection.send(b"Gr\xc3\xbc\xc3\x9fe\r")
        until(connection, b"Gr\xc3\xbc\xc3\x9fe\r\nGr\xc3\xbc\xc3\x9fe\r\n")
        connection.send(b"\x04")
        until(connection, b"0\r\n")
        connection.send("one\r\x04")
        came, code, _ = closed(connection)
    assert (b"one\r\none\r\n" in b"".join(came), code) == (True, 1000)
    assert service.wait(job_id)["ExitCode"] == 5


def test_the_size_of_the_query_is_that_of_the_first_line_of_a_pending_job(service: Service) -> None:
    job_id = service.submit({"CommandLine": "stty size", "TTY": {}, "Hold": True})
    with joined(service, job_id, "rows=33&cols=111", V5) as connection:
        assert service.client.post(f"/{job_id}/release", json={}).status_code == 200
        came, _, _ = closed(connection)
    assert (output(came)[1], exit_code(came)) == (b"33 111\r\n", 0)
    with joined(service, job_id, "rows=1&cols=1") as again:  # over: it needs no size
        assert closed(again)[0] == [b"33 111\r\n"]


def test_input_with_offsets_is_answered_and_comes_once(service: Service) -> None:
    job_id = service.submit({"CommandLine": "stty -echo; echo ready; cat", "TTY": {}})

    def told(connection: ClientConnection, offset: int, data: bytes) -> dict[str, Any]:
        connection.send(b"\x00" + offset.to_bytes(8) + data)
        while (message := connection.recv(timeout=300))[:1] != b"\x00":
            pass
        answer: dict[str, Any] = json.loads(message[1:])
        return answer

    with joined(service, job_id, "", EXACT) as first:
        until(first, b"ready\r\n", b"\x01")
        assert told(first, 5, b"") == {"Offset": 0, "Refused": False}
        assert told(first, 0, b"one\n") == {"Offset": 4, "Refused": False}
        with joined(service, job_id, "", EXACT) as second:  # as one that comes back
            assert told(second, 0, b"one\n") == {"Offset": 4, "Refused": True}
            assert told(second, 4, b"two\n") == {"Offset": 8, "Refused": False}
        assert told(first, 4, b"three\n") == {"Offset": 8, "Refused": True}
        first.send(b"\x00" + (8).to_bytes(8) + b"\x04")
        assert closed(first)[1] == 1000
    assert service.output(job_id) == b"ready\r\none\r\ntwo\r\n"


# No trap of bash: one that comes while the trap for it still runs is lost there.
TELLS_ITS_SIZE = """
import os, signal, sys
told = {signal.SIGWINCH, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, told)
print("ready", flush=True)
while signal.sigwait(told) == signal.SIGWINCH:
    size = os.get_terminal_size()
    print(size.lines, size.columns, flush=True)
sys.exit(6)
"""


def test_channel_4_resizes_and_winch_comes(service: Service) -> None:
    line = shlex.join([sys.executable, "-c", TELLS_ITS_SIZE])
    job_id = service.submit({"CommandLine": line, "TTY": {}})
    with joined(service, job_id, "", V5) as connection:
        until(connection, b"ready\r\n", b"\x01")
        connection.send(b'\x04{"Width":100,"Height":30}')
        until(connection, b"30 100\r\n", b"\x01")
        connection.send(b'\x04{"Width":65535,"Height":65535}')  # as large as there is
        until(connection, b"1000 10000\r\n", b"\x01")
        connection.send(b"\x00\x03")
        assert exit_code(closed(connection)[0]) == 6


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("rows=24", 400, "bad_query"),
        ("cols=80", 400, "bad_query"),
        ("rows=0&cols=80", 400, "bad_query"),
        ("rows=24&cols=10001", 400, "bad_query"),
        ("rows=24&cols=80", 409, "no_terminal"),
    ],
)
def test_a_size_that_can_not_be_is_refused_before_the_upgrade(
    service: Service, query: str, status: int, code: str, gate: Gate
) -> None:
    job_id = service.submit({"CommandLine": f"read -r _ < {gate}", "Stdin": True})
    answer = service.client.get(f"/{job_id}/ws?{query}", headers=HANDSHAKE)
    assert assert_problem(answer, status)["type"].endswith(code)
    gate.open()
