"""Large downloads of `GET /{ID}/output`, which go from the log's file to the connection: byte for
byte, whoever reads, leaves, or reads nothing."""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import trustme
from running import Service, free_port, running
from waiting import until

pytestmark = pytest.mark.e2e

# Seconds: a fuse.
FUSE_S = 300
SIZE = 8_000_001
COMMAND = f"head -c {SIZE} /dev/urandom | tee copy"
READ_AT_ONCE = 128 << 10


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, environment={"JOBRUNNER_LOG_REQUESTS": "on"}) as service:
        yield service


def made(service: Service) -> tuple[str, bytes]:
    view = service.run(COMMAND)
    return view["ID"], Path(view["WorkingDir"], "copy").read_bytes()


@pytest.fixture(scope="module")
def finished(service: Service) -> tuple[str, bytes]:
    return made(service)


class Download:
    """A client that reads only when it is told to, and has a small buffer."""

    def __init__(
        self, service: Service, job_id: str, fields: str = "", version: str = "1.1"
    ) -> None:
        self.peer = socket.socket()
        self.peer.settimeout(FUSE_S)
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.peer.connect(("127.0.0.1", service.port))
        self._file = self.peer.makefile("rb", buffering=0)
        self._version = version
        self.ask(f"/{job_id}/output", fields)

    def ask(self, path: str, fields: str = "") -> None:
        head = f"GET {path} HTTP/{self._version}\r\nHost: localhost\r\n{fields}\r\n"
        self.peer.sendall(head.encode())

    def head(self) -> bytes:
        return b"".join(iter(self._file.readline, b"\r\n"))

    def read(self, count: int, at_once: int = 1 << 20) -> bytes:
        found = bytearray()
        while len(found) < count and (data := self._file.read(min(at_once, count - len(found)))):
            found += data
        return bytes(found)

    def answer(self) -> tuple[bytes, bytes]:
        head = self.head()
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length
        return head, self.read(int(length[1]))

    def close(self) -> None:
        self._file.close()
        self.peer.close()


def reading(service: Service) -> int:
    text = service.client.get("/metrics").text
    found = re.findall(r"^jobrunner_attached_readers\{.*\} (.*)$", text, re.MULTILINE)
    return sum(int(float(number)) for number in found)


@pytest.mark.parametrize(
    "range_",
    [
        (0, SIZE),
        (0, READ_AT_ONCE),
        (0, READ_AT_ONCE + 1),
        (1, READ_AT_ONCE + 2),
        (4095, 4095 + (256 << 10)),
        (4097, 5_000_000),
        (SIZE - READ_AT_ONCE - 1, SIZE),
        (SIZE - 1, SIZE),
    ],
)
def test_every_range_is_those_bytes_and_the_connection_serves_the_next_request(
    service, finished, range_
):
    job_id, data = finished
    begin, end = range_
    with closing(Download(service, job_id, f"Range: bytes={begin}-{end - 1}\r\n")) as download:
        for _ in range(2):
            head, body = download.answer()
            assert b"content-range: bytes %d-%d/%d" % (begin, end - 1, SIZE) in head.lower()
            assert body == data[begin:end]
            download.ask("/health/live")
            assert download.answer()[0].startswith(b"HTTP/1.1 200 ")
            download.ask(f"/{job_id}/output", f"Range: bytes={begin}-{end - 1}\r\n")


def test_who_sends_the_next_request_early_gets_both_answers(service, finished):
    job_id, data = finished
    with closing(Download(service, job_id)) as download:
        download.ask(f"/{job_id}/output", "Range: bytes=5-9\r\n")
        assert download.answer()[1] == data
        assert download.answer()[1] == data[5:10]


def test_http_1_0_gets_the_same(service, finished):
    job_id, data = finished
    with closing(Download(service, job_id, version="1.0")) as download:
        assert download.answer()[1] == data
        assert download.read(1) == b""


def test_a_live_job_answers_with_what_is_there_now(service, gate):
    job_id = service.submit(f"{COMMAND}; read -r _ < {gate}; echo more")
    until(lambda: service.show(job_id)["Output"]["Bytes"] == SIZE)
    data = Path(service.show(job_id)["WorkingDir"], "copy").read_bytes()
    with closing(Download(service, job_id)) as download:
        download.head()
        gate.open()
        service.wait(job_id)
        assert download.read(SIZE) == data


def test_both_streams_apart_are_read_as_before(service):
    view = service.run("head -c 1000000 /dev/zero; head -c 500000 /dev/zero >&2")
    for stream, size in (("stdout", 1_000_000), ("stderr", 500_000)):
        answer = service.client.get(f"/{view['ID']}/output?stream={stream}")
        assert answer.content == bytes(size)


def test_a_log_with_a_limit_is_sent_around_its_gap(service):
    view = service.run({"CommandLine": COMMAND, "OutputLimit": 4_000_000})
    data = Path(view["WorkingDir"], "copy").read_bytes()
    ((start, end),) = view["Output"]["Gaps"]
    for first, begin, behind in ((0, 0, start), (start, end, SIZE), (end + 1, end + 1, SIZE)):
        range_ = {"Range": f"bytes={first}-"}
        answer = service.client.get(f"/{view['ID']}/output", headers=range_)
        assert answer.content == data[begin:behind]


def test_who_reads_slowly_or_nothing_costs_the_others_nothing(service, finished):
    job_id, data = finished
    with closing(Download(service, job_id)) as silent, closing(Download(service, job_id)) as slow:
        slow.head()
        assert slow.read(10_000, at_once=100) == data[:10_000]
        for _ in range(3):
            assert service.client.get(f"/{job_id}/output").content == data
        assert slow.read(SIZE - 10_000, at_once=5000) == data[10_000:]
        silent.head()
        assert silent.read(SIZE) == data
    until(lambda: reading(service) == 0)


@pytest.mark.parametrize("has_read", [False, True])
def test_a_client_that_vanishes_is_told_as_cut(service, finished, has_read):
    job_id, _ = finished
    begun = len(service.lines)
    with closing(Download(service, job_id)) as download:
        download.head()
        if has_read:
            download.read(1_000_000)
        reset = struct.pack("ii", 1, 0)
        download.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    until(lambda: any("/{ID}/output" in x and "cut" in x for x in service.lines[begun:]))
    until(lambda: reading(service) == 0)
    assert not any("Traceback" in line for line in service.lines)


def test_what_is_not_in_memory_is_read_from_the_disk(service, finished):
    job_id, data = finished
    for begin in (0, 1_000_000, 4_000_000):
        with (service.state_dir / "logs" / job_id / "output").open("rb+") as log:
            os.fsync(log.fileno())
            os.posix_fadvise(log.fileno(), begin, 2_000_000, os.POSIX_FADV_DONTNEED)
        assert service.client.get(f"/{job_id}/output").content == data


def test_a_job_that_is_cleaned_meanwhile_is_sent_to_its_end(service):
    job_id, data = made(service)
    with closing(Download(service, job_id)) as download:
        download.head()
        begun = download.read(1000)
        assert service.client.post(f"/{job_id}/clean").status_code == 200
        assert service.client.get(f"/{job_id}").status_code == 404
        assert begun + download.read(SIZE - 1000) == data


def test_a_service_that_stops_waits_for_no_client(state_dir):
    with running(state_dir) as service:
        job_id, _ = made(service)
        with closing(Download(service, job_id)) as download:
            download.head()
            assert service.stop() == 0
            assert len(download.read(SIZE)) < SIZE


def test_a_download_over_tls_is_whole(state_dir, tmp_path):
    authority = trustme.CA()
    own = authority.issue_cert("localhost")
    pem = tmp_path / "cert.pem"
    own.private_key_and_cert_chain_pem.write_to_path(pem)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    flags = ["--cert", str(pem), "--key", str(pem)]
    settings = {"JOBRUNNER_HOSTNAME": "localhost"}
    with (
        closing(Service(state_dir, *flags, port=port, workers=1, environment=settings)) as service,
        httpx.Client(
            base_url=f"https://localhost:{port}", verify=context, timeout=FUSE_S
        ) as client,
    ):
        service.wait_for_line("worker_ready")
        job_id = client.post("/", json={"CommandLine": COMMAND}).json()["ID"]
        view = client.get(f"/{job_id}/wait").json()
        data = Path(view["WorkingDir"], "copy").read_bytes()
        assert client.get(f"/{job_id}/output").content == data


def test_a_download_over_a_unix_socket_is_whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("u")  # a short name: that of a socket has 107 bytes
    transport = httpx.HTTPTransport(uds=str(place / "s"))
    with (
        closing(Service(place / "state", "--unix", str(place / "s"))) as service,
        httpx.Client(base_url="http://localhost", transport=transport, timeout=FUSE_S) as client,
    ):
        service.wait_for_line("worker_ready")
        job_id = client.post("/", json={"CommandLine": COMMAND}).json()["ID"]
        view = client.get(f"/{job_id}/wait").json()
        data = Path(view["WorkingDir"], "copy").read_bytes()
        for begin in (0, 1, 4_000_000):
            answer = client.get(f"/{job_id}/output", headers={"Range": f"bytes={begin}-"})
            assert answer.content == data[begin:]
