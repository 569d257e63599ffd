"""A WebSocket served in other ways, by asyncio's loop and over TLS, and one whose client answers no ping."""

from __future__ import annotations

import hashlib
import random
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from gates import Gate
from running import Service, running
from websocket_clients import V5, BareClient, closed, exit_code, output
from websockets.frames import Opcode
from websockets.sync.client import connect

pytestmark = [pytest.mark.e2e, pytest.mark.once]

DATA = random.Random(1).randbytes(1 << 20)
DIGEST = hashlib.sha256(DATA).hexdigest()
JOB = {"CommandLine": "tee copy | sha256sum; cat copy; exit 3", "Stdin": True}
# Seconds: a fuse.
FUSE_S = 300.0
QUICK: dict[str, Any] = {
    "command": ("-m", "sanic", "quick_pings:make", "--factory"),
    "environment": {"PYTHONPATH": str(Path(__file__).parents[1] / "tools" / "apps")},
}


def feed_and_read(url: str, **options: Any) -> None:
    """A megabyte each way, and how the job ends."""
    options |= {"subprotocols": [V5], "max_size": None, "open_timeout": FUSE_S, "proxy": None}
    with connect(url, **options) as connection:
        for at in range(0, len(DATA), 50_000):
            connection.send(b"\0" + DATA[at : at + 50_000])
        connection.send(b"\xff\0")
        came, code, _ = closed(connection)
    assert output(came)[1] == f"{DIGEST}  -\n".encode() + DATA
    assert (exit_code(came), code) == (3, 1000)


def test_asyncio_s_own_loop_serves_it(state_dir: Path) -> None:
    with running(state_dir, environment={"SANIC_USE_UVLOOP": "false"}) as service:
        feed_and_read(f"ws://127.0.0.1:{service.port}/{service.submit(JOB)}/ws")


def test_it_is_served_over_tls(state_dir: Path, tmp_path: Path) -> None:
    authority, pem = trustme.CA(), tmp_path / "cert.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    flags = ["--cert", str(pem), "--key", str(pem)]
    settings = {"JOBRUNNER_HOSTNAME": "localhost"}
    with closing(Service(state_dir, *flags, environment=settings)) as service:
        service.wait_for_line("worker_ready")
        place = f"localhost:{service.port}"
        answer = httpx.post(f"https://{place}/", json=JOB, verify=context, timeout=FUSE_S)
        feed_and_read(f"wss://{place}/{answer.json()['ID']}/ws", ssl=context)


def test_a_client_that_answers_no_ping_is_pinged_on_and_gets_all(
    state_dir: Path, gate: Gate
) -> None:
    """It may be there: only a peer that the kernel takes for dead is given up."""
    with running(state_dir, **QUICK) as service:
        job_id = service.submit(f"echo one; read -r _ < {gate}; echo two")
        with BareClient(service, job_id) as silent:
            pings, said = 0, b""
            while True:
                for event in silent.protocol.events_received():
                    pings += event.opcode is Opcode.PING
                    said += event.data if event.opcode is Opcode.BINARY else b""
                silent.protocol.data_to_send()  # its pongs, which nobody gets
                if pings == 5:
                    gate.open()
                if silent.protocol.close_rcvd is not None:
                    break
                silent.protocol.receive_data(silent.socket.recv(1 << 16))
        assert (said, silent.protocol.close_rcvd.code) == (b"one\ntwo\n", 1000)
