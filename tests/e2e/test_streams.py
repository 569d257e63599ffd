"""Attaching: every reader gets every byte, whenever it comes, however slowly it reads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import http.client
import itertools
import json
import os
import random
import re
import socket
import sqlite3
import struct
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Self

import pytest
from answers import assert_problem
from gates import Gate
from leaks import descriptors
from log_readers import collected, subscribed, watching
from running import Service, running
from waiting import until

from service.output.index import STDERR, STDOUT
from service.output.reader import LogReader

pytestmark = pytest.mark.e2e
WORKERS = 2

# Seconds: fuses, not waits.
FUSE_S = 300
MB = 1_000_000


class Cut(Exception):
    """The connection ended before the body did."""


class Attached:
    """One request on a connection of its own, read byte by byte as the test likes."""

    def __init__(
        self,
        service: Service,
        path: str,
        *headers: str,
        method: str = "GET",
        version: str = "1.1",
        receive_buffer: int | None = None,
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(FUSE_S)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._raw = b""
        self._body = b""
        try:
            self.socket.connect(("127.0.0.1", service.port))
            self.request(path, *headers, method=method, version=version)
        except BaseException:
            self.socket.close()
            raise

    def request(
        self, path: str, *headers: str, method: str = "GET", version: str = "1.1"
    ) -> Attached:
        """Send a request and read the head of its answer."""
        self._is_head = method == "HEAD"
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        while b"\r\n\r\n" not in self._raw:
            self._receive()
        head, _, self._raw = self._raw.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        self._is_over = False
        self._left = int(self.headers.get("content-length", -1))
        return self

    def read(self, count: int) -> bytes:
        """The next `count` bytes of the body."""
        while len(self._body) < count and not self._is_over:
            self._more()
        data, self._body = self._body[:count], self._body[count:]
        return data

    def rest(self) -> bytes:
        """The body to its clean end. Raises: Cut."""
        pieces = [self._body]
        self._body = b""
        while not self._is_over:
            self._more()
            pieces.append(self._body)
            self._body = b""
        return b"".join(pieces)

    def digest(self) -> str:
        """The SHA-256 of the body to its clean end, none of which is kept."""
        digest = hashlib.sha256(self._body)
        while not self._is_over:
            self._body = b""
            self._more()
            digest.update(self._body)
        return digest.hexdigest()

    def _receive(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise Cut
        self._raw += data

    def _more(self) -> None:
        """Some more of the body."""
        if self._is_head:
            self._is_over = True
        elif self._left >= 0:
            if self._left and not self._raw:
                self._receive()
            taken, self._raw = self._raw[: self._left], self._raw[self._left :]
            self._left -= len(taken)
            self._body += taken
            self._is_over = not self._left
        elif self.headers.get("transfer-encoding") == "chunked":
            self._chunk()
        else:
            try:
                if not self._raw:
                    self._receive()
            except Cut:
                self._is_over = True  # the only end that there is
            self._body += self._raw
            self._raw = b""

    def _chunk(self) -> None:
        while b"\r\n" not in self._raw:
            self._receive()
        size = int(self._raw[: self._raw.index(b"\r\n")], 16)
        start = self._raw.index(b"\r\n") + 2
        while len(self._raw) < start + size + 2:
            self._receive()
        assert self._raw[start + size : start + size + 2] == b"\r\n"
        self._body += self._raw[start : start + size]
        self._raw = self._raw[start + size + 2 :]
        self._is_over = size == 0

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def passing(gate: Gate) -> str:
    """What a job says to wait for the gate."""
    return f"read -r _ < {gate}"


def attached(service: Service, job_id: str, query: str = "", **options: object) -> Attached:
    return Attached(service, f"/{job_id}/attach{query}", **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- when one attaches


def test_readers_at_the_start_in_the_middle_and_after_the_end_get_the_same(service, gate):
    wait = passing(gate)
    job_id = service.submit(
        f"for i in 1 2 3; do {wait}; echo $i; done; {wait}; printf part; {wait}; echo err >&2; {wait}"
    )
    with attached(service, job_id) as first:
        for line in (b"1\n", b"2\n"):
            gate.open()
            assert first.read(2) == line
        with attached(service, job_id) as second:
            assert second.read(4) == b"1\n2\n"
            for piece in (b"3\n", b"part", b"err\n"):
                gate.open()
                assert first.read(len(piece)) == piece
                assert second.read(len(piece)) == piece
            with attached(service, job_id, "?offset=2") as late:
                assert late.read(10) == b"2\n3\nparter"
                gate.open()
                assert (first.rest(), second.rest(), late.rest()) == (b"", b"", b"r\n")
    assert service.output(job_id) == b"1\n2\n3\nparterr\n"


def test_a_piece_of_a_line_reaches_the_reader_before_the_next_is_written(service, gate):
    """How soon, the benchmark `latency` says."""
    job_id = service.submit(
        f"while read -r word; do printf %s $word; [ $word = . ] && exit; done < {gate}"
    )
    with attached(service, job_id) as reader:
        descriptor = os.open(gate.path, os.O_WRONLY)
        try:
            for _ in range(10):
                os.write(descriptor, b"x\n")
                assert reader.read(1) == b"x"
            os.write(descriptor, b".\n")
        finally:
            os.close(descriptor)
        assert reader.rest() == b"."


def test_a_job_that_waits_for_its_turn_is_attached_to_at_once(state_dir, gate):
    with running(state_dir, environment={"JOBRUNNER_MAX_RUNNING": "1"}) as service:
        first = service.submit(f"{passing(gate)}; echo first")
        second = service.submit("echo second")
        third = service.submit("echo third")
        assert service.show(second)["State"] == "pending"
        with attached(service, second) as early, attached(service, third) as never:
            assert (early.status, never.status) == (200, 200)
            for query, body in (("?follow=false", b""), ("?offset=0&follow=false", b"")):
                with attached(service, second, query) as now:
                    assert (now.headers["content-length"], now.rest()) == ("0", body)
            with attached(service, second, "?offset=1") as beyond:
                assert beyond.status == 416
            with attached(service, second, method="HEAD") as head:
                assert (head.status, head.rest()) == (200, b"")
            service.kill(third)
            assert never.rest() == b""
            gate.open()
            assert early.rest() == b"second\n"
        assert service.output(first) == b"first\n"
        assert service.output(third) == b""


def test_a_reader_of_a_silent_job_gets_what_it_says_later(state_dir, gate):
    with running(state_dir, workers=2) as service:
        job_id = service.submit(f"{passing(gate)}; echo said; {passing(gate)}")
        quiet = service.submit(passing(gate))
        for silent in (job_id, quiet):
            until(lambda: service.show(silent)["State"] == "running")  # noqa: B023 - called here
            assert not (state_dir / "logs" / silent).exists()
            with attached(service, silent, "?follow=false") as now:
                assert (now.headers["content-length"], now.rest()) == ("0", b"")
            with attached(service, silent, "?offset=1") as beyond:
                assert beyond.status == 416
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(attached(service, job_id)) for _ in range(6)]
            others = [stack.enter_context(attached(service, quiet)) for _ in range(6)]
            assert {reader.status for reader in (*readers, *others)} == {200}
            gate.open(3)
            assert [reader.rest() for reader in readers] == [b"said\n"] * 6
            assert [reader.rest() for reader in others] == [b""] * 6
        assert service.wait(quiet)["Output"] == {
            "Bytes": 0,
            "Complete": True,
            "Gaps": [],
            "Exact": True,
        }
        assert (service.output(job_id), service.output(quiet)) == (b"said\n", b"")


def wait_closed(directory: Path) -> None:
    """Until the log says that no more comes."""

    async def follow() -> None:
        with watching() as watcher, subscribed(watcher, directory) as subscription:
            await collected(subscription)

    asyncio.run(follow())


def test_whoever_saw_the_end_finds_the_job_finished(service, gate):
    """Also when the record comes late: here somebody writes to the records just then."""
    with contextlib.closing(sqlite3.connect(service.state_dir / "jobs.db")) as records:
        records.isolation_level = None
        for _ in range(10):
            job_id = service.submit(f"echo begun; {passing(gate)}; echo end")

            def read_and_show(job_id: str = job_id) -> tuple[bytes, str, bool]:
                output = reader.rest()
                live = service.client.get("/").json()["IDs"]
                return output, service.show(job_id)["State"], job_id in live

            with (
                attached(service, job_id) as reader,
                concurrent.futures.ThreadPoolExecutor(1) as pool,
            ):
                assert reader.read(6) == b"begun\n"
                records.execute("BEGIN IMMEDIATE")
                seen = pool.submit(read_and_show)
                gate.open()
                wait_closed(service.state_dir / "logs" / job_id)
                records.execute("ROLLBACK")
                assert seen.result(FUSE_S) == (b"end\n", "exited", False)


# ---------------------------------------------------------------------------------- what is written

WRITER = """
import hashlib, os, random, sys
sizes = random.Random(int(sys.argv[1]))
left = [int(argument) for argument in sys.argv[2:4]]
digests = [hashlib.sha256(), hashlib.sha256()]
while any(left):
    stream = sizes.choice([n for n in (0, 1) if left[n]])
    data = os.urandom(min(left[stream], sizes.choice([1, 100, 65536, 1 << 20])))
    left[stream] -= len(data)
    digests[stream].update(data)
    while data:
        data = data[os.write(stream + 1, data):]
with open("digests", "w") as file:
    file.write(" ".join(digest.hexdigest() for digest in digests))
"""


def write_random(service: Service, stdout: int, stderr: int, before: str = "true") -> str:
    """A job that writes this many random bytes to each stream, and their digests to a file."""
    line = f'{before}; exec "$PYTHON" -c "$WRITER" {random.randrange(1000)} {stdout} {stderr}'
    return service.submit(
        {"CommandLine": line, "Environment": {"WRITER": WRITER, "PYTHON": sys.executable}}
    )


def written(service: Service, job_id: str) -> list[str]:
    """The digests of what the job wrote to each stream."""
    return Path(service.show(job_id)["WorkingDir"], "digests").read_text().split()


def apart(service: Service, job_id: str, path: Path) -> list[str]:
    """The digests of the two streams in what a reader got of both, told apart by the index."""
    digests = {STDOUT: hashlib.sha256(), STDERR: hashlib.sha256()}
    with LogReader.open(service.state_dir / "logs" / job_id) as log, path.open("rb") as file:
        runs = log.records(0, 10_000_000)
        ends = [run.offset for run in runs[1:]] + [log.state().end]
        for run, end in zip(runs, ends, strict=True):
            digests[run.stream].update(file.read(end - run.offset))
        assert file.read() == b""
    return [digest.hexdigest() for digest in digests.values()]


@pytest.fixture(scope="module")
def hundred_mb(service, tmp_path_factory):
    """A job that wrote 100 MB to both streams, and what three readers got, who followed it live."""
    directory = tmp_path_factory.mktemp("readers")
    gate = Gate(directory / "gate")
    job_id = write_random(service, 60 * MB, 40 * MB, before=passing(gate))

    def read(number: int) -> tuple[Path, str]:
        path = directory / str(number)
        digest = hashlib.sha256()
        with attached(service, job_id) as reader, path.open("wb") as file:
            attached_to.release()
            while piece := reader.read(1 << 18):
                digest.update(piece)
                file.write(piece)
        return path, digest.hexdigest()

    attached_to = threading.Semaphore(0)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, number) for number in range(3)]
        for _ in readers:
            attached_to.acquire(timeout=FUSE_S)  # each is attached
        gate.open()
        got = [reader.result(FUSE_S) for reader in readers]
    gate.close()
    assert service.wait(job_id)["ExitCode"] == 0
    yield job_id, got
    for path, _ in got:
        path.unlink()


def test_a_hundred_mb_on_both_streams_reach_three_live_readers_as_written(service, hundred_mb):
    job_id, got = hundred_mb
    assert len({digest for _, digest in got}) == 1
    path, digest = got[0]
    assert path.stat().st_size == 100 * MB == service.show(job_id)["Output"]["Bytes"]
    assert apart(service, job_id, path) == written(service, job_id)
    with attached(service, job_id) as replay:
        assert replay.digest() == digest


@pytest.mark.parametrize(("stream", "number"), [("stdout", 0), ("stderr", 1)])
def test_each_stream_of_a_hundred_mb_is_what_was_written_to_it(service, hundred_mb, stream, number):
    job_id, _ = hundred_mb
    with attached(service, job_id, f"?stream={stream}") as reader:
        assert int(reader.headers["content-length"]) == (60 * MB, 40 * MB)[number]
        assert reader.digest() == written(service, job_id)[number]


def test_a_hundred_mb_begin_right_at_a_thousand_random_offsets(service, hundred_mb):
    job_id, ((path, _), *_) = hundred_mb
    offsets = random.sample(range(100 * MB), 998) + [0, 100 * MB]

    def check(some: list[int]) -> None:
        with path.open("rb") as whole:
            for offset in some:
                with attached(service, job_id, f"?offset={offset}", receive_buffer=4096) as reader:
                    assert int(reader.headers["content-length"]) == 100 * MB - offset
                    got = reader.read(2000)
                assert got == os.pread(whole.fileno(), 2000, offset)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(check, [offsets[n::4] for n in range(4)]))


@pytest.mark.parametrize("stream", [None, "stdout", "stderr"])
def test_pieces_cut_at_a_thousand_random_offsets_rejoin(service, stream):
    job_id = write_random(service, 40_000, 30_000)
    assert service.wait(job_id)["ExitCode"] == 0
    query = f"&stream={stream}" if stream else ""
    whole = service.output(job_id, **({"stream": stream} if stream else {}))
    assert len(whole) == {None: 70_000, "stdout": 40_000, "stderr": 30_000}[stream]
    cuts = [0, *sorted(random.sample(range(1, len(whole)), 1000)), len(whole)]
    pieces = []
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=FUSE_S)
    with contextlib.closing(connection):
        for begin, end in itertools.pairwise(cuts):
            connection.request("GET", f"/{job_id}/attach?offset={begin}&follow=false{query}")
            answer = connection.getresponse()
            pieces.append(answer.read(end - begin))
            assert answer.read() == whole[end:]
    assert b"".join(pieces) == whole


@pytest.mark.parametrize(
    ("line", "stdout", "stderr"),
    [
        pytest.param("true", b"", b"", id="nothing"),
        pytest.param("echo hi > /dev/stdout", b"hi\n", b"", id="the stream by its name"),
        pytest.param("echo hi | tee /dev/stderr", b"hi\n", b"hi\n", id="both by tee"),
        pytest.param(r"printf 'a\0b\0'", b"a\0b\0", b"", id="NUL"),
        pytest.param(r"printf '\xff\xfe\x80' >&2", b"", b"\xff\xfe\x80", id="no UTF-8"),
        pytest.param("head -c 1000000 /dev/zero | tr '\\0' x", b"x" * MB, b"", id="1 MB, no newline"),
        pytest.param(r"printf 'a\r\nb\r'", b"a\r\nb\r", b"", id="carriage returns"),
        pytest.param(r"printf '0\r\n\r\n'", b"0\r\n\r\n", b"", id="what ends a chunked body"),
        pytest.param("echo a >&2; echo b", b"b\n", b"a\n", id="two streams"),
    ],
)  # fmt: skip
def test_output_is_what_was_written(service, gate, line, stdout, stderr):
    job_id = service.submit(f"{passing(gate)}; {line}")
    with (
        attached(service, job_id) as both,
        attached(service, job_id, "?stream=stdout") as out,
        attached(service, job_id, "?stream=stderr") as err,
    ):
        gate.open()
        assert (out.rest(), err.rest()) == (stdout, stderr)
        live = both.rest()
    assert len(live) == len(stdout + stderr)
    assert live in (stdout + stderr, stderr + stdout)
    assert service.output(job_id) == live
    assert service.output(job_id, stream="stdout") == stdout
    assert service.output(job_id, stream="stderr") == stderr


# -------------------------------------------------------------------------------- offset and follow


@pytest.fixture
def live(service, gate):
    """A live job whose output so far is `0123456789`, half of it from each stream by turns; it
    writes `!` when the gate is opened, and ends."""
    line = "for i in 0 2 4 6 8; do printf $i; sync_; printf $((i + 1)) >&2; sync_; done"
    log = "../../../logs/$JOBRUNNER_JOB_ID/output"
    pause = f"sync_() {{ until [ $(cat {log} 2> /dev/null | wc -c) -gt $1 ]; do :; done; }}"
    # Two pipes keep no order between them, so each byte waits until the one before is in the log.
    line = line.replace("sync_; printf $((", "sync_ $i; printf $((").replace(
        "sync_; done", "sync_ $((i + 1)); done"
    )
    job_id = service.submit(f"{pause}; {line}; {passing(gate)}; printf !")
    with attached(service, job_id) as reader:
        assert reader.read(10) == b"0123456789"
    yield job_id
    gate.open()
    service.wait(job_id)


@pytest.mark.parametrize(
    ("query", "now"),
    [
        ("", b"0123456789"),
        ("?offset=0", b"0123456789"),
        ("?offset=4", b"456789"),
        ("?offset=10", b""),
        ("?offset=-3", b"789"),
        ("?offset=-10", b"0123456789"),
        ("?offset=-99", b"0123456789"),
        ("?stream=stdout", b"02468"),
        ("?stream=stderr&offset=2", b"579"),
        ("?stream=stdout&offset=-2", b"68"),
        ("?stream=stdout&offset=5", b""),
    ],
)
def test_an_offset_counts_from_the_start_or_from_the_present_end(service, live, gate, query, now):
    both = query + ("&" if query else "?") + "follow=false"
    with attached(service, live, both) as reader:
        assert reader.headers["content-length"] == str(len(now))
        assert reader.rest() == now
    with attached(service, live, query) as reader:
        assert reader.read(len(now)) == now
        size = 5 if "stream" in query else 10
        assert reader.headers["jobrunner-offset"] == str(size - len(now))
        gate.open()
        assert reader.rest() == (b"" if "stderr" in query else b"!")
    gate.open()  # for the fixture's end


@pytest.mark.parametrize(
    ("query", "end"), [("?offset=11", 10), ("?offset=6&stream=stdout", 5), (f"?offset={2**62}", 10)]
)
@pytest.mark.parametrize("follow", ["", "&follow=false"])
def test_an_offset_beyond_the_present_end_is_416(service, live, query, end, follow):
    answer = service.client.get(f"/{live}/attach{query}{follow}")
    assert_problem(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{end}"


def test_the_output_of_a_finished_job_has_a_length(service):
    job_id = service.run("printf 0123456789")["ID"]
    for query, body in (("", b"0123456789"), ("?offset=7", b"789"), ("?offset=10", b"")):
        with attached(service, job_id, query) as reader:
            assert reader.headers["content-length"] == str(len(body))
            assert "transfer-encoding" not in reader.headers
            assert reader.rest() == body
    with attached(service, job_id, "?offset=11") as beyond:
        assert beyond.status == 416


def test_a_connection_goes_on_after_each_kind_of_answer(service, gate):
    finished = service.run("echo done")["ID"]
    live = service.submit(f"echo live; {passing(gate)}")
    with attached(service, live) as reader:
        assert reader.read(5) == b"live\n"
        gate.open()
        assert reader.rest() == b""
        assert reader.request(f"/{finished}/attach").rest() == b"done\n"
        assert reader.request(f"/{finished}/attach?follow=false&offset=2").rest() == b"ne\n"
        assert reader.request(f"/{finished}/attach", method="HEAD").rest() == b""
        assert reader.request(f"/{finished}/attach?offset=99").status == 416
        assert b'"offset_beyond_end"' not in reader.rest()
        assert reader.request("/health/live").rest() == b'{"Status":"live"}\n'


# ---------------------------------------------------------------------------------------- the head


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("text/*", "text/plain; charset=utf-8"),
        ("text/html, */*;q=0.1", "text/plain; charset=utf-8"),
        ("application/octet-stream", "application/octet-stream"),
        ("text/plain;q=0.5, application/octet-stream", "application/octet-stream"),
        ("text/plain;q=0, */*", "application/octet-stream"),
        ("application/*, text/plain;q=0.9", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("kind", ["live", "finished", "empty"])
def test_output_is_text_unless_bytes_are_asked_for(service, gate, kind, accept, content_type):
    line = {"live": f"echo; {passing(gate)}", "finished": "echo", "empty": "true"}[kind]
    job_id = service.submit(line)
    if kind != "live":
        service.wait(job_id)
    headers = [f"Accept: {accept}"] if accept else []
    with Attached(service, f"/{job_id}/attach", *headers) as reader:
        assert reader.status == 200
        assert reader.headers["content-type"] == content_type
        assert reader.headers["x-content-type-options"] == "nosniff"
        gate.open()
        assert reader.rest() == (b"" if kind == "empty" else b"\n")


@pytest.mark.parametrize(
    "accept", ["application/json", "text/html", "image/*", "text/plain;q=0", "*/*;q=0"]
)
def test_output_in_another_form_is_406(service, accept):
    job_id = service.run("echo")["ID"]
    answer = service.client.get(f"/{job_id}/attach", headers={"Accept": accept})
    assert accept in assert_problem(answer, 406)["detail"]


@pytest.mark.parametrize(
    "query", ["", "?offset=3", "?stream=stderr", "?follow=false", "?offset=99"]
)
@pytest.mark.parametrize("kind", ["live", "finished"])
def test_head_tells_what_get_would_and_keeps_the_connection(service, gate, kind, query):
    job_id = service.submit(f"printf 0123456789; {passing(gate)}")
    if kind == "finished":
        gate.open()
        service.wait(job_id)
    else:
        with attached(service, job_id) as reader:
            reader.read(10)
    with attached(service, job_id, query, method="HEAD") as head:
        assert head.rest() == b""
        with attached(service, job_id, query) as get:
            assert get.status == head.status
            for name in ("content-type", "content-length", "transfer-encoding", "jobrunner-offset"):
                assert get.headers.get(name) == head.headers.get(name)
        assert head.request("/health/live").rest() == b'{"Status":"live"}\n'
    gate.open()
    service.wait(job_id)
    assert [line for line in service.lines if "ERROR" in line] == []


# ------------------------------------------------------------------------------------------ HTTP/1.0


def test_http_10_gets_a_body_without_framing_that_ends_with_the_connection(service, gate):
    job_id = service.submit(f"echo one; {passing(gate)}; echo two")
    with attached(service, job_id, version="1.0") as reader:
        assert "transfer-encoding" not in reader.headers
        assert "content-length" not in reader.headers
        assert reader.headers["connection"] == "close"
        assert reader.read(4) == b"one\n"
        gate.open()
        assert reader.rest() == b"two\n"
    with attached(service, job_id, version="1.0") as reader:
        assert reader.headers["content-length"] == "8"
        assert reader.rest() == b"one\ntwo\n"
    with attached(service, job_id, method="HEAD", version="1.0") as head:
        assert head.headers["content-length"] == "8"


@pytest.mark.parametrize("shutdown", ["kill", "leave"])
def test_a_stopping_service_cuts_its_streams(state_dir, gate, shutdown):
    """Nobody takes a cut for the end: no last chunk, and a reset where only the connection's end
    would tell."""
    with running(state_dir, environment={"JOBRUNNER_SHUTDOWN": shutdown}) as service:
        job_id = service.submit(f"echo said; {passing(gate)}")
        with (
            attached(service, job_id) as chunked,
            attached(service, job_id, version="1.0") as plain,
            attached(service, job_id, "?stream=stderr") as silent,
        ):
            assert chunked.read(5) == plain.read(5) == b"said\n"
            assert service.stop() == 0
            for reader in (chunked, silent):
                with pytest.raises((Cut, ConnectionResetError)):
                    reader.rest()
            with pytest.raises(ConnectionResetError):
                plain.rest()
        gate.open()


# --------------------------------------------------------------------------------------- slow readers


def memory_of(pid: int, field: str) -> int:
    """Bytes, as proc(5) tells them in /proc/pid/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)[1]) * 1024


def workers_of(service: Service) -> list[int]:
    """Their numbers, as they said when they were ready."""
    ready = (re.search(r"worker_ready\W+pid\W+(\d+)", line) for line in service.lines)
    return [int(found[1]) for found in ready if found]


def kernel_memory(connection: socket.socket) -> int:
    """Bytes that the kernel holds for the other end of a connection on this machine.

    Source: sock_diag(7), INET_DIAG_SKMEMINFO.
    """
    (peer, peer_port), (_, port) = connection.getpeername(), connection.getsockname()
    addresses = [socket.inet_aton(peer), socket.inet_aton("127.0.0.1")]
    identity = struct.pack(">HH16s16sI", peer_port, port, *addresses, 0) + b"\xff" * 8
    skmeminfo = 7
    body = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (skmeminfo - 1), 0xFFF)
    message = struct.pack("=IHHII", 16 + 56, 20, 1, 0, 0) + body + identity
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4) as netlink:
        netlink.send(message)
        answer = netlink.recv(65536)
    assert struct.unpack_from("=H", answer, 4)[0] == 20, "the kernel knows the connection"
    position = 16 + 72
    while position < len(answer):
        length, kind = struct.unpack_from("=HH", answer, position)
        if kind == skmeminfo:
            received, _, _, _, reserved, queued = struct.unpack_from("=6I", answer, position + 4)
            return received + reserved + queued
        position += (length + 3) & ~3
    raise AssertionError("the kernel told no memory")


def test_a_reader_that_never_reads_costs_nobody_anything(service, gate):
    """The job finishes, another reader gets everything, memory stays flat, the kernel's share for
    the stalled one is bounded; and when it reads after all, it gets everything too."""
    size = 200 * MB
    job_id = service.submit(f"{passing(gate)}; head -c {size} /dev/zero")
    pids = [*workers_of(service), service.supervisor_pid()]
    before = {}
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        before[pid] = memory_of(pid, "VmRSS")
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(attached(service, job_id)) for _ in range(4)]
        reader = stack.enter_context(attached(service, job_id))
        gate.open()
        count = 0
        while piece := reader.read(1 << 20):
            count += len(piece)
        assert count == size
        assert service.wait(job_id)["State"] == "exited"
        for pid in pids:
            assert memory_of(pid, "VmHWM") - before[pid] < 20 * MB
        for other in stalled:
            assert kernel_memory(other.socket) <= 0.5 * (1 << 20)
        late = stalled[0]
        count = 0
        while piece := late.read(1 << 20):
            count += len(piece)
        assert count == size


def test_idle_streams_and_stalled_readers_are_not_cut(state_dir, gate):
    """By a limit on the time of an answer, here of one second; the connection has it back later."""
    # Sanic looks at a connection's limits twice in the shortest of them.
    environment = {"SANIC_RESPONSE_TIMEOUT": "1", "JOBRUNNER_REQUEST_TIMEOUT": "2"}
    with running(state_dir, environment=environment) as service, contextlib.ExitStack() as stack:
        silent = service.submit(f"{passing(gate)}; echo spoke")
        large = service.submit(f"head -c {10 * MB} /dev/zero")
        big_view = service.submit({"CommandLine": f": {'x' * 100_000}", "Environment": {}})
        idle = stack.enter_context(attached(service, silent))
        stalled = stack.enter_context(attached(service, large))
        waiting = stack.enter_context(
            contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", service.port, timeout=FUSE_S)
            )
        )
        waiting.request("GET", f"/{silent}/wait")
        # An answer that takes its time, too.
        assert service.client.get(f"/{silent}/wait", params={"timeout": "2.2"}).status_code == 200
        gate.open()
        assert idle.rest() == b"spoke\n"
        assert waiting.getresponse().status == 200
        assert len(stalled.rest()) == 10 * MB
        # Later on the same connection: an answer that nobody reads is cut.
        views = f"GET /{big_view} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 200
        idle.socket.sendall(views)
        gate_two = service.submit(passing(gate))
        assert service.client.get(f"/{gate_two}/wait", params={"timeout": "2.2"}).status_code == 200
        gate.open()
        count = 0
        with contextlib.suppress(ConnectionResetError):
            while count < 200 and (piece := idle.socket.recv(1 << 20)):
                count += piece.count(b'"ContinueOnFailure"')
        assert count < 200


# ------------------------------------------------------------------------------------------ going away


def test_a_reader_that_goes_away_leaves_nothing_open(state_dir, gate):
    with running(state_dir) as service:
        (worker,) = workers_of(service)
        job_id = service.submit(f"echo here; {passing(gate)}")

        def open_files() -> Counter[str]:
            return Counter(descriptors(worker).values())

        def watches() -> int:
            found = 0
            for info in Path(f"/proc/{worker}/fdinfo").iterdir():
                with contextlib.suppress(FileNotFoundError):  # it was open for a moment
                    found += info.read_text().count("inotify wd:")
            return found

        service.client.get("/health/live")
        # A young worker may have something open that it closes for good: what counts is what comes.
        before, watched = open_files(), watches()
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(attached(service, job_id)) for _ in range(20)]
            for reader in readers:
                assert reader.read(5) == b"here\n"
            opened = open_files() - before
            logs = sum(times for name, times in opened.items() if job_id in name)
            sockets = sum(times for name, times in opened.items() if name.startswith("socket:"))
            assert (logs, sockets) == (2, 20), "one pair of files, a connection each"
            assert watches() == watched + 1
        # On a busy box the kernel may tell it of a request before it tells of the ends before it.
        until(lambda: service.client.get("/health/live") and not open_files() - before)
        assert watches() == watched
        gate.open()
        assert service.wait(job_id)["State"] == "exited"


def test_half_a_close_by_the_reader_is_the_end_of_its_stream_alone(service, gate):
    job_id = service.submit(f"echo one; {passing(gate)}; echo two")
    with attached(service, job_id) as one, attached(service, job_id) as other:
        assert one.read(4) == other.read(4) == b"one\n"
        one.socket.shutdown(socket.SHUT_WR)
        with pytest.raises((Cut, ConnectionResetError)):
            one.rest()
        gate.open()
        assert other.rest() == b"two\n"
    assert service.wait(job_id)["ExitCode"] == 0


def test_many_readers_of_many_jobs_get_each_its_own(service, gate):
    jobs = [
        service.submit(f"{passing(gate)}; for i in {{1..500}}; do echo {n} $i; done")
        for n in range(10)
    ]
    with contextlib.ExitStack() as stack:
        readers = [
            (n, stack.enter_context(attached(service, jobs[n])))
            for n in range(10)
            for _ in range(10)
        ]
        gate.open(len(jobs))
        for n, reader in readers:
            assert reader.rest() == b"".join(b"%d %d\n" % (n, i) for i in range(1, 501))


def test_an_attach_to_a_job_that_does_not_exist_is_no_event_of_the_audit_log(tmp_path: Path):
    # A service of its own: after some hundreds of attaches by one caller they are counted, not written.
    with running(tmp_path / "jobrunner") as service:
        job_id = service.run("true")["ID"]
        assert service.client.get("/never-there/attach").status_code == 404
        service.output(job_id)  # a fence: an attach that is written
        audited = (service.state_dir / "audit.log").read_text().splitlines()
    attached_to = [e["job"] for e in map(json.loads, audited) if e["action"] == "attach"]
    assert attached_to == [job_id]


def test_connections_that_wait_for_a_job_are_probed(service: Service, gate: Gate):
    job_id = service.submit(f"echo ready; read < {gate}")
    head = "HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for request in (f"GET /{job_id}/attach", f"GET /{job_id}/wait", f"DELETE /{job_id}?wait=true"):
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(f"{request} {head}".encode())
            until(lambda client=client: timer_of(client) == KEEPALIVE_TIMER)
    gate.open()


# Source: proc_net_tcp of the kernel's documentation, the field `tr`.
KEEPALIVE_TIMER = "02"


def timer_of(client: socket.socket) -> str:
    """What the kernel waits for on the other end of this connection."""
    near, far = (f":{address[1]:04X}" for address in (client.getpeername(), client.getsockname()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(near) and fields[2].endswith(far):
            return fields[5][:2]
    raise AssertionError("the connection is gone")
