"""The Python client's connections: one that falls silent, and those that TLS and a token protect."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import jobrunner
import msgspec
import pytest
import trustme
from running import Service

from service.access import tokens
from service.access.scopes import Scope
from service.client import output, steps
from service.output.keep_alive import HEARTBEAT_S

pytestmark = pytest.mark.e2e

# Seconds without a byte, in place of the 45 of a real client. How long it is decides nothing here.
SILENCE_S = 0.2
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nJobrunner-Offset: {}\r\nConnection: close\r\n{}\r\n"
BYTES, RECORDS = "application/octet-stream", "application/x-ndjson"


class Silent:
    """A peer that answers as the service does, and falls silent within the first answer."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._accept() as connection:  # what is stored: nothing yet
            connection.sendall(HEAD.format(BYTES, 0, "Content-Length: 0\r\n").encode())
        with self._accept() as connection:
            connection.sendall(HEAD.format(RECORDS, 0, "").encode() + self._output(0, "one\n"))
            assert connection.recv(1) == b""  # given up by the client, and by nobody else
        with self._accept() as connection:
            finished = "Content-Length: 4\r\nJobrunner-State: exited\r\nJobrunner-Bytes: 8\r\n"
            connection.sendall(HEAD.format(BYTES, 4, finished).encode() + b"two\n")

    def _accept(self) -> socket.socket:
        connection, _ = self._listener.accept()
        self.requests.append(connection.recv(65536).decode().partition(" HTTP/")[0])
        return connection

    @staticmethod
    def _output(offset: int, text: str) -> bytes:
        record = {"Type": "output", "Offset": offset, "End": offset + len(text), "Text": text}
        where = {"Stream": "stdout", "Command": 0, "Time": "2026-01-01T00:00:00Z"}
        return json.dumps(record | where).encode() + b"\n"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # ends an accept that nobody comes for
        self._thread.join()
        self._listener.close()


@pytest.fixture
def silent(monkeypatch) -> Iterator[Silent]:
    follow = output.follow_request

    def impatient(*args, **options) -> steps.Request:
        return msgspec.structs.replace(follow(*args, **options), silence_s=SILENCE_S)

    monkeypatch.setattr(output, "follow_request", impatient)
    peer = Silent()
    yield peer
    peer.close()


REQUESTS = [
    "GET /j/attach?offset=0&follow=false",
    "GET /j/attach?offset=0",
    "GET /j/attach?offset=4&follow=false",
]


def test_a_connection_that_falls_silent_is_given_up_and_continued(silent: Silent):
    with jobrunner.Client(silent.url) as client:
        assert list(client.job("j").stream()) == [b"one\n", b"two\n"]
    assert silent.requests == REQUESTS


async def test_the_asynchronous_client_gives_it_up_as_well(silent: Silent):
    async with jobrunner.AsyncClient(silent.url) as client:
        assert [chunk async for chunk in client.job("j").stream()] == [b"one\n", b"two\n"]
    assert silent.requests == REQUESTS


def test_nothing_is_given_up_before_three_heartbeats_are_missing():
    assert steps.SILENCE_S == 3 * HEARTBEAT_S


# ---------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def protected(tmp_path_factory) -> Iterator[tuple[Service, Path]]:
    """A service with a certificate of a private authority, and the token of `ann`."""
    place = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    own = authority.issue_cert("localhost")
    own.private_key_pem.write_to_path(place / "key.pem")
    own.cert_chain_pems[0].write_to_path(place / "own.pem")
    authority.cert_pem.write_to_path(place / "ca.pem")
    (place / "state").mkdir()
    _, token = tokens.create(place / "state", "ann", [Scope.READ, Scope.RUN])
    (place / "token").write_text(f"{token}\n")
    flags = ("--cert", str(place / "own.pem"), "--key", str(place / "key.pem"))
    service = Service(place / "state", *flags, environment={"JOBRUNNER_HOSTNAME": "localhost"})
    try:
        service.wait_for_line("worker_ready")
        yield service, place
    finally:
        service.close()


def url_of(service: Service) -> str:
    return f"https://localhost:{service.port}"


def test_a_private_authority_and_a_token_are_taken(protected, monkeypatch):
    service, place = protected
    monkeypatch.setenv("JOBRUNNER_URL", url_of(service))
    monkeypatch.setenv("JOBRUNNER_TOKEN_FILE", str(place / "token"))
    context = ssl.create_default_context(cafile=place / "ca.pem")
    for verify in (str(place / "ca.pem"), context, False):
        with jobrunner.Client(verify=verify) as client:
            assert client.run("echo over TLS").stdout == b"over TLS\n"
            assert b"".join(client.submit({"CommandLine": "seq 3"}).stream()) == b"1\n2\n3\n"


async def test_the_asynchronous_client_takes_them_as_well(protected):
    service, place = protected
    token = (place / "token").read_text().strip()
    url, ca = url_of(service), str(place / "ca.pem")
    async with jobrunner.AsyncClient(url, token, verify=ca) as client:
        assert (await client.run("echo over TLS")).stdout == b"over TLS\n"


def test_another_authority_is_no_service(protected):
    service, place = protected
    token = (place / "token").read_text().strip()
    with jobrunner.Client(url_of(service), token, timeout=0) as client:
        with pytest.raises(jobrunner.ServiceUnreachable, match="certificate"):
            client.run("true")


def test_a_wrong_token_and_a_missing_scope_are_told(protected, monkeypatch):
    service, place = protected
    ca = str(place / "ca.pem")
    for token in ("wrong", None):
        with jobrunner.Client(url_of(service), token, verify=ca) as client:
            with pytest.raises(jobrunner.Unauthenticated):
                client.run("true")
    _, reader = tokens.create(place / "state", "reader", [Scope.READ])
    with jobrunner.Client(url_of(service), reader, verify=ca) as client:
        assert list(client.jobs()) == []
        with pytest.raises(jobrunner.MissingScope):
            client.run("true")
