"""Docker's multiplexed stream: frames that say which stream their bytes are of.

Source: the Docker Engine API, "Attach to a container", stream format.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar

from service.output.formats.encoder import Encoder
from service.output.formats.format import Format
from service.output.formats.gap_line import elision_line, gap_line
from service.output.index import STDERR

if TYPE_CHECKING:
    from service.output.chunk import Chunk

__all__ = ["FORMATS", "DockerFrames"]

_HEADER = struct.Struct(">BxxxL")


class DockerFrames(Encoder):
    """A frame for each chunk. The bytes in all frames are the output, so a reader that has counted
    them continues there. A gap is a line in a frame of standard error.
    """

    __slots__ = ()

    needs_attribution: ClassVar[bool] = True

    @property
    def marks_gaps(self) -> bool:
        """As the reader wants it."""
        return self.options.marks_gaps

    def chunk(self, chunk: Chunk) -> bytes:
        """A frame."""
        return _HEADER.pack(chunk.stream, len(chunk.data)) + chunk.data

    def gap(self, start: int, end: int) -> bytes:
        """The line that text has there."""
        return _note(gap_line(start, end))

    def elided(self, start: int, end: int) -> bytes:
        """The same."""
        return _note(elision_line(start, end))


def _note(line: bytes) -> bytes:
    return _HEADER.pack(STDERR, len(line)) + line


FORMATS = (
    Format(
        name="docker",
        media_types=("application/vnd.docker.multiplexed-stream",),
        make=DockerFrames,
        marks_gaps=False,
    ),
)
