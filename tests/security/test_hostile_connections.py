"""Connections that mean harm: silent, endless, too many, or framed so that one request hides another."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import trustme
from answers import assert_problem
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from running import Service, free_port, running

from service.access import tokens
from service.access.scopes import Scope

pytestmark = [pytest.mark.e2e, pytest.mark.once]

DESCRIPTORS = 256
# Connections of an attacker: as many as would take all of a worker's descriptors.
MANY = 450
BEGIN_LIMITED = (
    "import os, resource, sys;"
    f"resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}));"
    "os.execv(sys.executable, [sys.executable, '-m', 'sanic', 'service.app', *sys.argv[1:]])"
)
LIMITED = ("-c", BEGIN_LIMITED)
# Seconds that a request may take to arrive; and a fuse.
TIMEOUT_S = 2
FUSE_S = 300
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A service with few descriptors, and a token for it."""
    with running(
        tmp_path_factory.mktemp("state") / "jobrunner",
        command=LIMITED,
        environment={"JOBRUNNER_REQUEST_TIMEOUT": str(TIMEOUT_S), "JOBRUNNER_AUTH_FAILURES": "0"},
    ) as service:
        yield service, tokens.create(service.state_dir, "ann", [Scope.RUN])[1]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner") as service:
        yield service


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), FUSE_S)


def read_all(peer: socket.socket) -> bytes:
    """What comes until the other side closes."""
    said = b""
    while chunk := peer.recv(1 << 16):
        said += chunk
    return said


def drip(peer: socket.socket, piece: bytes) -> tuple[bytes, float]:
    """Send a piece ten times a second until the connection is closed: what was said until then, and
    after how many seconds.
    """
    begun, said = time.monotonic(), b""
    peer.settimeout(0.1)
    while True:
        assert time.monotonic() - begun < FUSE_S
        try:
            peer.sendall(piece)
            if not (chunk := peer.recv(1 << 16)):
                break
            said += chunk
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            break
    return said, time.monotonic() - begun


def asks(service: Service, token: str) -> int:
    """The status that a client with a good token, and a connection of its own, is answered with."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{service.url}/", headers=headers, timeout=FUSE_S).status_code


# Time


def test_a_connection_that_says_nothing_is_closed(closed: tuple[Service, str]):
    service, _ = closed
    begun = time.monotonic()
    with connect(service.port) as peer:
        assert read_all(peer) == b""
    assert time.monotonic() - begun >= TIMEOUT_S * 0.9


def test_what_came_while_the_worker_stood_still_came_in_time(closed: tuple[Service, str]):
    service, token = closed
    ask = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % token.encode()
    (pid,) = service.worker_pids()
    with connect(service.port) as new, connect(service.port) as kept:
        kept.sendall(ask)
        assert kept.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        os.kill(pid, signal.SIGSTOP)
        try:
            for peer in (new, kept):
                peer.sendall(ask)
            time.sleep(TIMEOUT_S + 0.1)  # noqa: TID251 - as long as the limit, with nobody to tell
        finally:
            os.kill(pid, signal.SIGCONT)
        for peer in (new, kept):
            assert peer.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b""])
def test_a_head_that_drips_is_ended_though_bytes_come(closed: tuple[Service, str], begin: bytes):
    service, _ = closed
    with connect(service.port) as peer:
        peer.sendall(begin)
        said, took = drip(peer, b"a")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert TIMEOUT_S * 0.9 <= took < FUSE_S


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 4000\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_body_that_drips_is_ended_though_its_sender_is_known(
    closed: tuple[Service, str], framing: bytes
):
    service, token = closed
    with connect(service.port) as peer:
        peer.sendall(HEAD + framing + b"Authorization: Bearer %b\r\n\r\n" % token.encode())
        said, took = drip(peer, b"1\r\n \r\n" if b"chunked" in framing else b" ")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in said.lower()
    assert TIMEOUT_S * 0.9 <= took < FUSE_S


def test_the_second_request_of_a_connection_has_its_time_too(closed: tuple[Service, str]):
    service, token = closed
    ask = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n" % token.encode()
    with connect(service.port) as peer:
        peer.sendall(ask + b"\r\n")
        assert peer.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        peer.sendall(ask)
        said, took = drip(peer, b"X: y\r\n")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert took >= TIMEOUT_S * 0.9


REFUSED = {
    401: HEAD + b"Content-Length: 3000000\r\n\r\n",
    403: HEAD.replace(b"localhost", b"evil.example") + b"Content-Length: 3000000\r\n\r\n",
    413: HEAD + b"Authorization: Bearer TOKEN\r\nContent-Length: 30000000\r\n\r\n",
    415: HEAD.replace(b"json", b"xml") + b"Authorization: Bearer TOKEN\r\nContent-Length: 3000000\r\n\r\n",
    400: HEAD + b"Authorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n0x9\r\n",
    405: HEAD.replace(b"POST", b"PUT") + b"Authorization: Bearer TOKEN\r\nContent-Length: 3000000\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_ends_the_connection_though_the_body_still_comes(
    closed: tuple[Service, str], status: int
):
    service, token = closed
    with connect(service.port) as peer:
        peer.sendall(REFUSED[status].replace(b"TOKEN", token.encode()))
        said, took = drip(peer, b"a")
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in said.lower()
    assert b" 100 " not in said
    assert took < 10


def test_a_client_that_sends_all_of_a_large_body_still_sees_its_refusal(
    closed: tuple[Service, str],
):
    service, _ = closed
    with connect(service.port) as peer:
        peer.sendall(REFUSED[401] + b" " * 3_000_000)
        assert read_all(peer).startswith(b"HTTP/1.1 401 ")


def test_nobody_is_asked_for_a_body_that_is_refused(closed: tuple[Service, str]):
    service, token = closed
    expect = b"Expect: 100-continue\r\n\r\n"
    for status in (401, 403, 413, 415, 405):
        with connect(service.port) as peer:
            peer.sendall(REFUSED[status].replace(b"TOKEN", token.encode())[:-2] + expect)
            assert read_all(peer).startswith(b"HTTP/1.1 %d " % status)
    body = b'{"CommandLine": "true"}'
    for framing, sent in (
        (b"Content-Length: %d\r\n" % len(body), body),
        (b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
    ):
        with connect(service.port) as peer:
            known = b"Authorization: Bearer %b\r\nConnection: close\r\n" % token.encode()
            peer.sendall(HEAD + framing + known + expect)
            assert peer.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
            peer.sendall(sent)
            assert read_all(peer).startswith(b"HTTP/1.1 201 ")


def test_a_known_client_keeps_its_connection_after_a_mistake(closed: tuple[Service, str]):
    service, token = closed
    ask = HEAD + b"Authorization: Bearer %b\r\nContent-Length: 2\r\n\r\n{}" % token.encode()
    with connect(service.port) as peer:
        for _ in range(3):
            peer.sendall(ask)
            said = peer.recv(1 << 16)
            assert said.startswith(b"HTTP/1.1 422 ")
            assert b"\r\nconnection: keep-alive\r\n" in said.lower()


# Number


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: local",
        HEAD + b"Content-Length: 1000\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["silent", "head", "body", "refused", "public"],
)
def test_connections_of_strangers_lock_nobody_out(closed: tuple[Service, str], begin: bytes):
    service, token = closed
    with ExitStack() as open_:
        for number in range(MANY):
            peer = open_.enter_context(connect(service.port))
            try:
                peer.sendall(begin)
            except OSError:  # it was closed for another one
                continue
            if number % 50 == 0:
                assert asks(service, token) == 200
        (pid,) = service.worker_pids()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=service.url, headers=headers, timeout=FUSE_S) as client:
            job_id = client.post("/", json={"CommandLine": "echo hi"}).json()["ID"]
            assert client.get(f"/{job_id}/attach").text == "hi\n"
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < DESCRIPTORS - 32
    assert service.client.get("/health/ready").status_code == 200


def test_a_connection_that_has_proven_who_calls_is_not_closed_for_strangers(
    closed: tuple[Service, str],
):
    service, token = closed
    ask = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % token.encode()
    with ExitStack() as open_:
        known = open_.enter_context(connect(service.port))
        known.sendall(ask)
        assert known.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        for _ in range(MANY):
            open_.enter_context(connect(service.port))
        assert asks(service, token) == 200
        known.sendall(ask)
        assert known.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_thousand_connections_are_taken_by_default(service: Service):
    ask = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as open_:
        peers = [open_.enter_context(connect(service.port)) for _ in range(1000)]
        for peer in (*peers, *peers):
            peer.sendall(ask)
            assert peer.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_handshakes_that_stall_lock_nobody_out(tmp_path: Path, state_dir: Path):
    authority = trustme.CA()
    own = authority.issue_cert("localhost")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, part in enumerate(own.cert_chain_pems):
        part.write_to_path(tmp_path / "cert.pem", append=number > 0)
    state_dir.mkdir()
    token = tokens.create(state_dir, "ann", [Scope.RUN])[1]
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    flags = ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem")]
    service = Service(
        state_dir,
        *flags,
        port=port,
        command=LIMITED,
        environment={"JOBRUNNER_HOSTNAME": "localhost", "JOBRUNNER_AUTH_FAILURES": "0"},
    )
    headers = {"Authorization": f"Bearer {token}"}
    try:
        service.wait_for_line("worker_ready")

        def client() -> httpx.Client:
            return httpx.Client(
                base_url=f"https://localhost:{port}",
                verify=context,
                timeout=FUSE_S,
                headers=headers,
            )

        with ExitStack() as open_:
            first = open_.enter_context(client())
            assert first.get("/").status_code == 200
            for number in range(MANY):
                peer = open_.enter_context(socket.create_connection(("localhost", port), FUSE_S))
                if number % 3:
                    peer.sendall(b"\x16\x03\x01" if number % 3 == 1 else b"GET / HTTP/1.1\r\n\r\n")
                if number % 50 == 0:
                    with client() as other:
                        assert other.get("/").status_code == 200
            assert first.get("/").status_code == 200
            with client() as other:
                job_id = other.post("/", json={"CommandLine": "head -c 1M /dev/zero"}).json()["ID"]
                assert len(other.get(f"/{job_id}/attach").content) == 1 << 20
        assert not [line for line in service.lines if "Traceback" in line]
    finally:
        service.close()


# Framing

LINE = b'{"CommandLine":":"}'
GOOD_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


def chunks_of(data: bytes) -> bytes | None:
    """The body, when `data` is one in strict chunks without extensions or trailers, and all of it."""
    body = b""
    while True:
        size, line_end, data = data.partition(b"\r\n")
        if not line_end or not GOOD_SIZE.fullmatch(size):
            return None
        length = int(size, 16)
        chunk, end, data = data[:length], data[length : length + 2], data[length + 2 :]
        if end != b"\r\n" or len(chunk) != length:
            return None
        if not length:
            return body if not data else None
        body += chunk


def answer_to(port: int, body: bytes) -> bytes:
    """All that is said to a chunked submission; an end of input follows."""
    with connect(port) as peer:
        peer.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        peer.shutdown(socket.SHUT_WR)
        try:
            return read_all(peer)
        except ConnectionResetError:
            return b""


N = b"%x" % len(LINE)
ODD = [
    b"0x%b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"+%b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"-%b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b" %b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"%b \r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"%b\t\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"1_3\r\n%b\r\n0\r\n\r\n" % LINE,
    "１３\r\n".encode() + LINE + b"\r\n0\r\n\r\n",
    "١٣\r\n".encode() + LINE + b"\r\n0\r\n\r\n",
    b"%b;a=b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"%b;\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"%b\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"%b\r%b\r\n0\r\n\r\n" % (N, LINE),
    b"%b\r\n%b0\r\n\r\n" % (N, LINE),
    b"%b\r\n%b\n0\r\n\r\n" % (N, LINE),
    b"%b\r\n%bXX0\r\n\r\n" % (N, LINE),
    b"%b\r\n%b\r\n0\r\nX: y\r\n\r\n" % (N, LINE),
    b"%b\r\n%b\r\n0\r\n\n" % (N, LINE),
    b"%b\r\n%b\r\n0;a\r\n\r\n" % (N, LINE),
    b"%b\r\n%b\r\n0x0\r\n\r\n" % (N, LINE),
    b"%b\r\n%b\r\n\r\n\r\n" % (N, LINE),
    b"000000000%b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"\r\n%b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"%b\r\n%b\r\n" % (N, LINE),
    b"%b\0\r\n%b\r\n0\r\n\r\n" % (N, LINE),
]
EVEN = [
    b"%b\r\n%b\r\n0\r\n\r\n" % (N, LINE),
    b"000%b\r\n%b\r\n00\r\n\r\n" % (N.upper(), LINE),
    b"".join(b"1\r\n%c\r\n" % byte for byte in LINE) + b"0\r\n\r\n",
]


@pytest.mark.parametrize("body", ODD)
def test_a_body_that_is_framed_oddly_is_refused(service: Service, body: bytes):
    assert chunks_of(body) is None
    said = answer_to(service.port, body)
    assert re.fullmatch(rb"HTTP/1\.1 400 .*", said.partition(b"\r\n")[0]) or not said
    assert said.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("body", EVEN)
def test_a_body_that_is_framed_well_is_taken(service: Service, body: bytes):
    assert chunks_of(body) == LINE
    with connect(service.port) as peer:
        ask = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body
        for _ in range(2):  # what comes after it is the next request
            peer.sendall(ask)
            assert peer.recv(1 << 16).startswith(b"HTTP/1.1 201 ")


SIZES = st.integers(0, 30).map(lambda n: b"%x" % n) | st.sampled_from(
    [b"0", N, b"0x1", b"+1", b"1;x", "１".encode(), b"", b" 1", b"1 ", b"-0", b"g"]
)
ENDS = st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b"", b"\r\n\r\n", b"\n\r"])
DATA = st.sampled_from([LINE, b"", b" ", b"a", LINE[:9], LINE[9:], b"\r\n", b"0\r\n\r\n"])
RIGHT = DATA.map(lambda data: b"%x\r\n%b\r\n" % (len(data), data))
BODIES = st.lists(
    st.tuples(SIZES, ENDS, DATA, ENDS).map(b"".join) | RIGHT | RIGHT, max_size=4
).flatmap(
    lambda parts: st.sampled_from([b"".join(parts) + end for end in (b"0\r\n\r\n", b"0\r\n", b"")])
)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES)
@example(body=EVEN[0])
def test_a_request_is_taken_only_if_a_strict_reader_takes_it(service: Service, body: bytes):
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer_to(service.port, body))
    if chunks_of(body) is None:
        # An end within the last chunks is no request either; whatever follows a whole one is another.
        whole = any(chunks_of(body[:end]) is not None for end in range(len(body)))
        assert status is None or whole or status[1] == b"400"
    elif status is not None:  # an end of input may be seen before the answer is sent
        assert status[1] in (b"201", b"400", b"422")


def test_a_body_in_a_million_pieces_is_refused_early(service: Service):
    with connect(service.port) as peer:
        peer.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            peer.sendall(b"1\r\n \r\n" * 500_000)
        except (ConnectionResetError, BrokenPipeError):
            pytest.fail("it was reset before it could see its answer")
        assert read_all(peer).startswith(b"HTTP/1.1 400 ")


# Names, sites and headers


@pytest.mark.parametrize(
    "host",
    [
        b"[::1].evil.com", b"[::1]evil", b"[::1", b"::1", b"[::1]:80:80", b"[localhost]", b"[]",
        b"localhost:80:80", b"localhost:http", b"localhost:-1", b"user@localhost", b"localhost/",
        b"localhost evil", b"localhost,evil", b"localhost?", b"localhost#", b"local\thost",
        b"localhost:123456", b"localhost\xc2\xa0", b"\xef\xbd\x8cocalhost", b"http://localhost",
    ],
)  # fmt: skip
def test_a_host_that_is_no_name_is_refused(service: Service, host: bytes):
    with connect(service.port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host)
        assert read_all(peer).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:80"])
def test_a_host_that_is_one_of_ours_is_taken(service: Service, host: str):
    assert service.client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin", "none, none"])
@pytest.mark.parametrize("path", ["/", "/x", "/x/attach", "/health/live", "/nowhere/at/all"])
def test_a_page_of_another_site_can_hold_nothing(service: Service, site: str, path: str):
    problem = assert_problem(service.client.get(path, headers={"Sec-Fetch-Site": site}), 403)
    assert problem["type"].endswith("origin_not_allowed")


@pytest.mark.parametrize("field", ["Origin: http://localhost", "Sec-Fetch-Site: cross-site"])
def test_a_page_whose_request_lost_its_host_on_the_way_is_refused(service: Service, field: str):
    answers = []
    for line in (field, "Accept: */*"):
        with connect(service.port) as peer:
            peer.sendall(f"GET / HTTP/1.0\r\n{line}\r\n\r\n".encode())
            answers.append(read_all(peer).split(b" ", 2)[1])
    assert answers == [b"403", b"200"]


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_page_of_ours_and_a_user_are_let_in(service: Service, site: str):
    assert service.client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200


def test_every_answer_has_the_headers_that_browsers_need(closed: tuple[Service, str]):
    service, token = closed
    known = {"Authorization": f"Bearer {token}"}
    answers = [service.client.get("/")]  # nobody
    with httpx.Client(base_url=service.url, headers=known, timeout=FUSE_S) as client:
        job = client.post("/", json={"CommandLine": "echo hi"})
        path = job.headers["location"]
        answers += [
            job,
            client.get(f"{path}/wait"),
            *(
                client.request(method, path + rest)
                for method in ("GET", "HEAD")
                for rest in ("", "/wait", "/attach", "/attach?follow=false", "/nowhere")
            ),
            *(client.get(p) for p in ("/", "/metrics", "/openapi.json", "/none", "/?x=1")),
            *(client.get(p) for p in ("/health/live", "/health/ready", "/health/none")),
            client.get(f"{path}/attach?offset=1000"),
            client.put("/"),
            client.post("/", content=b"{", headers={"Content-Type": "application/json"}),
            client.post("/", json={}),
            client.post("/", content=b"a=b"),
            client.get("/", headers={"X": "y" * 20_000}),
            client.get("/", headers={"Host": "evil.example"}),
            client.delete(path),
            client.post(f"{path}/clean", json={}),
        ]
    assert {answer.status_code for answer in answers} >= {
        200,
        201,
        400,
        401,
        403,
        404,
        405,
        415,
        416,
        422,
        431,
    }
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.request
        assert answer.headers.get_list("cache-control") == ["no-store"], answer.request
    for hardly_http in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ):
        with connect(service.port) as peer:
            peer.sendall(hardly_http)
            said = read_all(peer).lower()
        assert said.startswith(b"http/1.1 400 ")
        assert said.count(b"\r\nx-content-type-options: nosniff\r\n") == 1
        assert said.count(b"\r\ncache-control: no-store\r\n") == 1


def test_no_start_with_client_certificates_and_without_tls(tmp_path: Path, state_dir: Path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    for flags in ((), ("--single-process",)):
        service = Service(
            state_dir, *flags, environment={"JOBRUNNER_TLS_CLIENT_CA": str(tmp_path / "ca.pem")}
        )
        try:
            service.wait_for_line("JOBRUNNER_TLS_CLIENT_CA.*--cert")
            assert service.process.wait(FUSE_S) == 2
        finally:
            service.close()


def test_while_others_drip_everybody_else_is_answered(closed: tuple[Service, str]):
    service, token = closed
    with ExitStack() as open_, selectors.DefaultSelector() as selector:
        for _ in range(100):
            peer = open_.enter_context(connect(service.port))
            peer.sendall(HEAD + b"Content-Length: 1000\r\nAuthorization: Bearer wrong\r\n\r\n")
            selector.register(peer, selectors.EVENT_READ)
        assert asks(service, token) == 200
        assert selector.select(FUSE_S)
