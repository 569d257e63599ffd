"""An HTTP client that costs next to nothing: raw sockets, kept alive, one buffer.

What a client spends is taken from the service on a machine with few processors, so this one knows
only what it needs: answers with a length, and chunked ones whose bytes it counts and drops.
"""

from __future__ import annotations

import json
import select
import socket
import time
from typing import Any, Self

# Bytes per read of a stream: in the processor's cache, and more than a chunk of the service.
BUFFER_BYTES = 512 << 10
# Seconds without any progress until a benchmark counts as broken.
_FUSE_S = 60.0


class BadAnswer(Exception):
    """The service answered something else than the benchmark needs."""


def post(body: object, query: str = "") -> bytes:
    """The request that submits `body`."""
    data = json.dumps(body).encode()
    head = (
        f"POST /{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def request(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def connected(port: int) -> socket.socket:
    """A connection to who listens there, or will in a moment. Raises: ConnectionRefusedError."""
    begun = time.monotonic()
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), _FUSE_S)
        except ConnectionRefusedError:
            if time.monotonic() - begun > _FUSE_S:
                raise


class Line:
    """One connection, kept alive; one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), _FUSE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def feed(self) -> tuple[int, bytes] | None:
        """Receive once; the answer's status and body when that was all of it."""
        data = self.socket.recv(65536)
        if not data:
            raise BadAnswer("the connection was closed")
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(_header(head, b"content-length"))
        if len(body) < length:
            return None
        self._received = body[length:]
        return _status(head), body[:length]

    def ask(self, message: bytes) -> Any:
        """The decoded body of the answer to a request. Raises: BadAnswer, when it is an error."""
        self.socket.sendall(message)
        while (answer := self.feed()) is None:
            pass
        status, body = answer
        if status >= 300:
            raise BadAnswer(f"{status}: {body[:200]!r}")
        return json.loads(body)

    def submit(self, body: object) -> str:
        job_id: str = self.ask(post(body))["ID"]
        return job_id

    def open_stream(self, path: str) -> Stream:
        """The body of the answer to a GET, as it comes."""
        self.socket.sendall(request("GET", path))
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        if _status(head) != 200:
            raise BadAnswer(f"{path}: {head[:100]!r}")
        return Stream(self.socket, head, body)


class Stream:
    """A body of any length, counted. Chunked: `count` walks the frames and knows the true end."""

    def __init__(self, peer: socket.socket, head: bytes, begun: bytes) -> None:
        self._peer = peer
        self._begun = begun
        self._is_chunked = b"transfer-encoding: chunked" in head.lower()
        self._left = 0 if self._is_chunked else int(_header(head, b"content-length"))

    def count(self) -> int:
        """Receive to the end; the number of bytes of the body."""
        return self._count_chunks() if self._is_chunked else self._count_plain()

    def receive(self) -> bytes:
        """What came next, frames and all; empty at the end of the connection."""
        begun, self._begun = self._begun, b""
        return begun or self._peer.recv(65536)

    def _count_plain(self) -> int:
        buffer = bytearray(BUFFER_BYTES)
        total, left = self._left, self._left - len(self._begun)
        while left > 0:
            got = self._peer.recv_into(buffer)
            if not got:
                raise BadAnswer(f"cut with {left} bytes to come")
            left -= got
        return total

    def _count_chunks(self) -> int:
        buffer = bytearray(BUFFER_BYTES)
        frames = Frames()
        frames.feed(self._begun, len(self._begun))
        while not frames.is_ended:
            got = self._peer.recv_into(buffer)
            if not got:
                raise BadAnswer(f"cut after {frames.total} bytes")
            frames.feed(buffer, got)
        return frames.total


class Frames:
    """Counts the payload of a chunked body without looking at it: from size line to size line."""

    def __init__(self) -> None:
        self.total = 0
        self.is_ended = False
        self._skip = 0  # payload and its line end that are still to come
        self._line = b""

    def feed(self, data: bytes | bytearray, length: int) -> None:
        at = 0
        while at < length:
            if self._skip:
                step = min(self._skip, length - at)
                self._skip -= step
                at += step
                continue
            end = data.find(b"\n", at, length)
            if end < 0:
                self._line += bytes(data[at:length])
                return
            size = int((self._line + data[at : end + 1]).strip() or b"0", 16)
            self._line = b""
            at = end + 1
            if not size:
                self.is_ended = True
                return
            self.total += size
            self._skip = size + 2


def run_jobs(port: int, body: object, total: int, at_once: int, query: str = "") -> float:
    """Run `total` jobs, each from its POST until it is finished; the seconds that it took.

    `at_once` connections, each with one job at a time. With a `query` the answer to the POST is the
    finished job; without, that of a second request is. Raises: BadAnswer, unless each exits with 0.
    """
    submission = post(body, query)
    lines = {line.socket.fileno(): line for line in (Line(port) for _ in range(at_once))}
    poller = select.epoll()
    for descriptor in lines:
        poller.register(descriptor, select.EPOLLIN)
    waiting = dict.fromkeys(lines, False)
    begun = min(at_once, total)
    finished = 0
    started_s = time.monotonic()
    for line in list(lines.values())[:begun]:
        line.socket.send(submission)
    while finished < total:
        ready = poller.poll(_FUSE_S)
        if not ready:
            raise BadAnswer(f"nothing came for {_FUSE_S:g} s, {finished} of {total} jobs done")
        for descriptor, _ in ready:
            line = lines[descriptor]
            if (answer := line.feed()) is None:
                continue
            status, content = answer
            if not waiting[descriptor] and not query:
                if status != 201:
                    raise BadAnswer(f"{status}: {content[:200]!r}")
                line.socket.send(request("GET", f"/{json.loads(content)['ID']}/wait"))
                waiting[descriptor] = True
                continue
            if b'"State":"exited"' not in content or b'"ExitCode":0' not in content:
                raise BadAnswer(f"{status}: {content[:500]!r}")
            finished += 1
            waiting[descriptor] = False
            if begun < total:
                begun += 1
                line.socket.send(submission)
    elapsed_s = time.monotonic() - started_s
    poller.close()
    for line in lines.values():
        line.socket.close()
    return elapsed_s


def _status(head: bytes) -> int:
    return int(head[9:12])


def _header(head: bytes, name: bytes) -> bytes:
    at = head.lower().index(b"\r\n" + name + b":") + len(name) + 3
    return head[at:].split(b"\r\n", 1)[0].strip()
