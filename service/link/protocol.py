"""How a service process and the supervisor speak: frames of JSON over a Unix stream socket.

A frame is four bytes of length (big endian) and that many bytes of JSON: one object, whose `t` says
what it is. Stream sockets carry specs of any size; a SEQPACKET message ends at about 200 KB, less
than an environment may have. JSON is written in ASCII, so that undecodable bytes of an environment
(lone surrogates) come through.

Changes are additive: an unknown key is ignored, an unknown `t` is answered by nothing, and each
side says its PROTOCOL in its hello.

From the service: hello, beat, claim*, start, kill*, log*, ack, release, publish,
close_orphaned_log*, shutdown*.
From the supervisor: hello, reply, turn, event, adopt, notice. A starred message carries `rid` and
is answered by one reply with the same `rid`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

PROTOCOL: Final = 1
# A job of the largest body the service takes, escaped to ASCII, fits; anything longer is no frame.
MAX_FRAME_BYTES: Final = 256 << 20

Message = dict[str, Any]

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, check_circular=False)


class ProtocolError(Exception):
    """The peer sent something that is no frame."""


def encode(message: Message) -> bytes:
    """One frame."""
    return frame(_ENCODER.encode(message).encode("ascii"))


def frame(body: bytes) -> bytes:
    """The frame around a message that is JSON already."""
    return len(body).to_bytes(4, "big") + body


class Frames:
    """Frames out of a stream, under any chunking."""

    __slots__ = ("_buffer", "_parse")

    def __init__(self, parse: Callable[[bytes], Any] = json.loads) -> None:
        """`parse` reads JSON, and raises ValueError for anything else."""
        self._buffer = bytearray()
        self._parse = parse

    def feed(self, data: bytes | memoryview) -> Iterator[Message]:
        """The messages that `data` completes. Raises: ProtocolError."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= 4:
                size = int.from_bytes(buffer[at : at + 4], "big")
                if size > MAX_FRAME_BYTES:
                    raise ProtocolError(f"a frame of {size} bytes; the most is {MAX_FRAME_BYTES}")
                if len(buffer) - at - 4 < size:
                    break
                body = bytes(buffer[at + 4 : at + 4 + size])
                at += 4 + size
                yield self._decoded(body)
        finally:
            del buffer[:at]

    def _decoded(self, body: bytes) -> Message:
        try:
            message = self._parse(body)
        except ValueError as exc:
            raise ProtocolError(f"a frame that is not JSON: {exc}") from exc
        if not isinstance(message, dict) or not isinstance(message.get("t"), str):
            raise ProtocolError("a frame without `t`")
        return message
