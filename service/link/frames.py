"""Frames: how messages stand in the byte stream of a Unix socket.

A frame is four bytes of length (big endian) and that many bytes of JSON: one object, whose `type`
is a string. A stream socket carries specs of any size; a SEQPACKET message ends at about 200 KB,
less than an environment may have. JSON is written in ASCII, so that undecodable bytes of an
environment (lone surrogates) survive.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

# A job of the largest body the service takes, escaped to ASCII, fits; anything longer is no frame.
MAX_FRAME_BYTES: Final = 256 << 20

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, check_circular=False)


class ProtocolError(Exception):
    """The peer sent something that is no frame. What follows can't be read: the stream is lost."""


def encode(message: Mapping[str, object]) -> bytes:
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

    def feed(self, data: bytes | memoryview) -> Iterator[dict[str, Any]]:
        """The messages that `data` completes: JSON objects with a `type`, otherwise unchecked.

        Raises: ProtocolError.
        """
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

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            message = self._parse(body)
        except (ValueError, RecursionError) as exc:  # RecursionError: nested a thousand times
            raise ProtocolError(f"a frame that is not JSON: {exc}") from exc
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise ProtocolError("a frame that is not an object with a `type`")
        return message
