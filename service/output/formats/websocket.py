"""Output as whole WebSocket frames: bytes as they are, or Kubernetes' channels.

What a server sends isn't masked, so a frame is the same for every reader, and those who are caught
up share it. Neither is a format of `format=`: the handshake names it. A gap is cut, as a reader
counts the bytes to know where it goes on.

Sources: RFC 6455, section 5.2; Kubernetes' `k8s.io/apimachinery/pkg/util/remotecommand`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, Final

from service.output.formats.encoder import Encoder

if TYPE_CHECKING:
    from service.output.chunk import Chunk

__all__ = ["ChannelFrames", "RawFrames", "binary_frame"]

# The last frame of a message, of binary data.
_BINARY: Final = 0x82
# Lengths that say in how many bytes the length comes, and the longest that needs neither.
_IN_2_BYTES, _IN_8_BYTES, _MAX_SHORT = 126, 127, 125
_SHORT: Final = struct.Struct(">BB")
_MIDDLE: Final = struct.Struct(">BBH")
_LONG: Final = struct.Struct(">BBQ")


def binary_frame(payload: bytes, channel: bytes = b"") -> bytes:
    """One binary message, unmasked: `channel`, then the payload."""
    length = len(channel) + len(payload)
    if length <= _MAX_SHORT:
        head = _SHORT.pack(_BINARY, length)
    elif length < 1 << 16:
        head = _MIDDLE.pack(_BINARY, _IN_2_BYTES, length)
    else:
        head = _LONG.pack(_BINARY, _IN_8_BYTES, length)
    return b"".join((head, channel, payload))


class RawFrames(Encoder):
    """A message for each chunk, of both streams alike."""

    __slots__ = ()

    def chunk(self, chunk: Chunk) -> bytes:
        """A frame."""
        return binary_frame(chunk.data)


class ChannelFrames(Encoder):
    """A message for each chunk, whose first byte is its stream: 1 or 2, as the index has it."""

    __slots__ = ()

    needs_attribution: ClassVar[bool] = True

    def chunk(self, chunk: Chunk) -> bytes:
        """A frame."""
        return binary_frame(chunk.data, chunk.stream.to_bytes())
