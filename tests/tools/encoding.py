"""Output as an encoder is given it: runs of a script, in chunks that are cut as a test likes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from service.output.chunk import Chunk
from service.output.formats.encoder import Encoder
from service.output.index import STDERR, STDOUT

Run = tuple[int, int, bytes]

PIECES = st.one_of(
    st.sampled_from(
        [b"line\n", b"no end", b"\n", b"\xff\x00", b"a\r\n", "€ä\U0001f600\n".encode()]
    ),
    st.text(max_size=5).map(str.encode),
    st.binary(min_size=1, max_size=5),
)
RUNS = st.lists(
    st.tuples(st.sampled_from([STDOUT, STDERR]), st.integers(0, 1), PIECES), max_size=12
)
CUTS = st.frozensets(st.integers(0, 60))
STREAMS = st.sampled_from([None, STDOUT, STDERR])


def chunks(script: list[Run], cuts: frozenset[int] = frozenset()) -> list[Chunk]:
    """The runs as a cursor reads them, one a microsecond after the other, cut at some places
    besides.
    """
    found, offset, own = [], 0, {STDOUT: 0, STDERR: 0}
    for number, (stream, command, data) in enumerate(script):
        places = [0, *sorted(cut - offset for cut in cuts if 0 < cut - offset < len(data))]
        for begin, end in pairwise([*places, len(data)]):
            piece = data[begin:end]
            at = (offset + begin, own[stream] + begin)
            found += [Chunk(*at, stream, command, number * 1000, piece)] if piece else []
        offset += len(data)
        own[stream] += len(data)
    return found


def of_stream(read: list[Chunk], stream: int | None) -> list[Chunk]:
    return [chunk for chunk in read if stream in (None, chunk.stream)]


def after(read: list[Chunk], place: int, stream: int | None = None) -> list[Chunk]:
    """What a reader of these chunks gets from `place` on."""
    found = []
    for chunk in read:
        skipped = max(0, place - (chunk.offset if stream is None else chunk.stream_offset))
        if skipped < len(chunk.data):
            found.append(
                chunk._replace(
                    offset=chunk.offset + skipped,
                    stream_offset=chunk.stream_offset + skipped,
                    data=chunk.data[skipped:],
                )
            )
    return found


def wire_of(encoder: Encoder, read: list[Chunk], end: int = 0) -> bytes:
    body = b"".join(encoder.encode([chunk]) for chunk in read)
    return encoder.head() + body + encoder.end({"State": "exited"}, end)


def bytes_of(read: list[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in read)
