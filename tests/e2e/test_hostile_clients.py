"""Clients that mean harm: bytes that are no requests, requests that never end, too many at a time."""

from __future__ import annotations

import random
import re
import selectors
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from answers import assert_problem
from running import Service, running
from waiting import until

from service.access import tokens
from service.access.scopes import Scope

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CASES = 10_000
SEED = 20_261_124
# Seconds: a fuse.
FUSE_S = 300
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /?state=all&view=full HTTP/1.0\r\n\r\n",
    b"DELETE /00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 23\r\n"
        b'Connection: close\r\n\r\n{"CommandLine": "true"}'
    ),
    (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        b'Connection: close\r\n\r\n17\r\n{"CommandLine": "true"}\r\n0\r\n\r\n'
    ),
    b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer jr_000000000000_"
    + b"A" * 43
    + b"\r\n\r\n",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"Content-Length: 5\r\n", b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1", b"%00",
    b"../..", b"\xff\xfe", "ä٥".encode(), b"A" * 9000, b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"\x16\x03\x01\x02",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"Upgrade: websocket\r\n",
]  # fmt: skip


def garbage(random_: random.Random) -> bytes:
    """Something between a request and noise."""
    if random_.random() < 0.1:
        return random_.randbytes(random_.randrange(1, 400))
    data = bytearray(random_.choice(REQUESTS))
    for _ in range(random_.randrange(1, 6)):
        at = random_.randrange(len(data) + 1)
        match random_.randrange(5):
            case 0:
                data[at:at] = random_.choice(PIECES)
            case 1:
                data[at : at + random_.randrange(1, 30)] = b""
            case 2:
                data[at : at + 1] = random_.randbytes(1)
            case 3:
                data[at:at] = data[at : at + random_.randrange(1, 60)]
            case _:
                data[at:at] = random_.choice(REQUESTS)
    return bytes(data)


def told(port: int, data: bytes) -> bytes:
    """What the service says to `data`, until it or we have nothing more to say."""
    with socket.create_connection(("127.0.0.1", port), FUSE_S) as peer:
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            said = b""
            while chunk := peer.recv(1 << 16):
                said += chunk
        except (ConnectionResetError, BrokenPipeError):
            return b""
        return said


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A service that lets in nobody but the owner of a token."""
    with running(
        tmp_path_factory.mktemp("state") / "jobrunner",
        workers=2,
        environment={"JOBRUNNER_AUTH_FAILURES": "0"},
    ) as service:
        yield service, tokens.create(service.state_dir, "root", [Scope.ADMIN])[1]


def test_bytes_that_are_no_requests_let_nothing_through(closed: tuple[Service, str]) -> None:
    service, token = closed
    random_ = random.Random(SEED)
    cases = [garbage(random_) for _ in range(CASES)]
    with ThreadPoolExecutor(8) as pool:
        for data, said in zip(
            cases, pool.map(lambda data: told(service.port, data), cases), strict=True
        ):
            statuses = [int(status) for status in STATUS.findall(said)]
            assert all(status == 100 or 400 <= status < 500 for status in statuses), (data, said)
    answer = service.client.get("/?state=all", headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"IDs": [], "Total": 0}
    broken = [
        n for n, line in enumerate(service.lines) if re.search("Traceback|request_failed", line)
    ]
    assert not broken, "\n".join(service.lines[broken[0] :][:60])
    assert len(service.worker_pids()) == 2  # none has died and been replaced


def test_connections_that_never_finish_their_request_keep_nobody_out(state_dir) -> None:
    settings = {"JOBRUNNER_REQUEST_TIMEOUT": "2"}
    with running(state_dir, environment=settings) as service, ExitStack() as open_:
        slow = [
            open_.enter_context(socket.create_connection(("127.0.0.1", service.port), FUSE_S))
            for _ in range(500)
        ]
        for number, peer in enumerate(slow):
            peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "[: 3 + number % 40])
        for _ in range(50):  # while they are all open
            assert service.client.get("/").status_code == 200
        selector = open_.enter_context(selectors.DefaultSelector())
        waiting = set(slow)
        for peer in slow:
            selector.register(peer, selectors.EVENT_READ)
        while waiting:  # each is told that it took too long, and closed
            ready = selector.select(FUSE_S)
            assert ready, f"{len(waiting)} connections are still open"
            for key, _ in ready:
                peer = key.fileobj
                said = peer.recv(1 << 16)
                assert not said or b" 408 " in said.splitlines()[0]
                selector.unregister(peer)
                waiting.discard(peer)
        assert service.client.get("/").status_code == 200


def test_one_principal_cannot_take_all_connections(state_dir) -> None:
    settings = {"JOBRUNNER_MAX_REQUESTS": "3"}
    with running(state_dir, environment=settings) as service, ExitStack() as open_:

        def client(name: str) -> httpx.Client:
            token = tokens.create(service.state_dir, name, [Scope.RUN])[1]
            headers = {"Authorization": f"Bearer {token}"}
            return open_.enter_context(httpx.Client(base_url=service.url, headers=headers))

        greedy, other = client("greedy"), client("other")
        job_id = greedy.post("/", json={"CommandLine": "echo ready; sleep 600"}).json()["ID"]
        readers = []
        for _ in range(3):
            reader = open_.enter_context(greedy.stream("GET", f"/{job_id}/attach"))
            chunks = reader.iter_bytes()
            assert next(chunks) == b"ready\n"
            readers.append((reader, chunks))  # an iterator that is gone closes its stream
        answer = greedy.get("/")
        assert_problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        assert other.get("/").status_code == 200
        assert other.post("/", json={"CommandLine": "true"}).status_code == 201
        admin = client("second")
        assert admin.get("/").status_code == 200
        for reader, _ in readers:
            reader.close()
        # The places are free as soon as the service has seen its readers go.
        until(lambda: greedy.get("/").status_code != 429)
        assert greedy.delete(f"/{job_id}?grace=0&wait=true").json()["State"] == "killed"


def test_attached_readers_are_bounded(state_dir) -> None:
    settings = {"JOBRUNNER_MAX_READERS": "2"}
    with running(state_dir, environment=settings) as service, ExitStack() as open_:
        job_id = service.submit("echo ready; sleep 600")
        followed = []
        for _ in range(2):
            reader = open_.enter_context(service.client.stream("GET", f"/{job_id}/attach"))
            followed.append(reader.iter_bytes())  # an iterator that is gone closes its stream
            assert next(followed[-1]) == b"ready\n"
        answer = service.client.get(f"/{job_id}/attach")
        assert_problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert service.show(job_id)["State"] == "running"
        service.kill(job_id, grace=0, wait="true")
