"""A piece of output that knows whose it is: what a cursor reads and an encoder turns into bytes."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["UNKNOWN", "Chunk"]

UNKNOWN: Final = -1
"""In a field of a coalesced chunk: its bytes are of several runs, which differ there."""


class Chunk(NamedTuple):
    """Bytes that follow each other in what a reader reads.

    An attributed chunk is of one run: every field is known. A coalesced one joins runs; of the
    whole log it knows the offset, of one stream the stream and the stream's offset.

    `offset` counts the bytes of both streams before the first one, `stream_offset` those of its
    own stream, `time_ns` is the wall clock when the run began.
    """

    offset: int
    stream_offset: int
    stream: int
    command: int
    time_ns: int
    data: bytes
