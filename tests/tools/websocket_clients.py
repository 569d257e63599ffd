"""Clients of `GET /<ID>/ws` for tests: `websockets`' own, and one that says exactly what it is told to."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

from running import Service
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side
from websockets.sync.client import ClientConnection, connect

V5: Final = "v5.channel.k8s.io"
V4: Final = "v4.channel.k8s.io"
EXACT: Final = "v1.channel.jobrunner"
# Seconds: a fuse.
_FUSE_S: Final = 300.0


def url_of(service: Service, job_id: str, query: str = "") -> str:
    return f"ws://127.0.0.1:{service.port}/{job_id}/ws{query and '?' + query}"


@contextmanager
def joined(
    service: Service, job_id: str, query: str = "", *subprotocols: str, **more: Any
) -> Iterator[ClientConnection]:
    """A connection, which isn't bounded in what it takes."""
    options: dict[str, Any] = {"max_size": None, "open_timeout": _FUSE_S, "proxy": None, **more}
    offered: Any = list(subprotocols) or None
    with connect(url_of(service, job_id, query), subprotocols=offered, **options) as connection:
        yield connection


def closed(connection: ClientConnection) -> tuple[list[bytes], int, str]:
    """What comes until the service closes; why it does."""
    came: list[bytes] = []
    try:
        while True:
            message = connection.recv(timeout=_FUSE_S)
            assert isinstance(message, bytes), "text, which Kubernetes' clients take for an error"
            came.append(message)
    except ConnectionClosed as exc:
        assert exc.rcvd is not None, "the connection was lost"
        return came, exc.rcvd.code, exc.rcvd.reason


def output(came: list[bytes]) -> dict[int, bytes]:
    """Messages of channels, by channel."""
    found: dict[int, bytes] = {}
    for message in came:
        found[message[0]] = found.get(message[0], b"") + message[1:]
    return found


def exit_code(came: list[bytes]) -> int:
    """As Kubernetes' clients read it."""
    told = json.loads(output(came)[3])
    return 0 if told["status"] == "Success" else int(told["details"]["causes"][0]["message"])


class BareClient:
    """One that sends what it is given, and reads, and answers pings and a close, only when told to."""

    def __init__(self, service: Service, job_id: str, query: str = "", behind: bytes = b"") -> None:
        """`behind` is sent with the handshake."""
        self.socket = socket.create_connection(("127.0.0.1", service.port), _FUSE_S)
        head = (
            f"GET /{job_id}/ws{query and '?' + query} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        self.socket.sendall(head.encode() + behind)
        got = b""
        while b"\r\n\r\n" not in got:
            more = self.socket.recv(1 << 16)
            assert more, got
            got += more
        head_got, _, rest = got.partition(b"\r\n\r\n")
        assert head_got.startswith(b"HTTP/1.1 101 "), got
        self.protocol = Protocol(Side.CLIENT, max_size=None)
        self.protocol.receive_data(rest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        self.socket.sendall(frame(opcode, data, fin=fin))

    def frames(self) -> Iterator[Frame]:
        """Until the connection ends."""
        while True:
            for event in self.protocol.events_received():
                assert isinstance(event, Frame)
                yield event
            for answer in self.protocol.data_to_send():
                if answer:
                    self.socket.sendall(answer)
            data = self.socket.recv(1 << 16)
            if not data:
                return
            self.protocol.receive_data(data)

    def close_code(self) -> int:
        """That of the service; what comes before it is dropped."""
        for _ in self.frames():
            pass
        found = self.protocol.close_rcvd
        assert found is not None, "no close came"
        return int(found.code)


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """As a client sends it."""
    return Frame(opcode, data, fin).serialize(mask=True)
