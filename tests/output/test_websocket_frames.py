"""Frames of output, as another's parser reads them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from service.output.chunk import Chunk
from service.output.formats.encoder import Encoder
from service.output.formats.websocket import ChannelFrames, RawFrames, binary_frame
from service.output.index import STDERR, STDOUT

pytestmark = pytest.mark.once


def messages(wire: bytes, *cuts: int) -> list[bytes]:
    """What a client gets, wherever the bytes are cut on their way."""
    client = Protocol(Side.CLIENT, max_size=None)
    places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    for begin, end in pairwise(places):
        client.receive_data(wire[begin:end])
    assert client.parser_exc is None
    assert client.data_to_send() == []
    frames = client.events_received()
    assert all(isinstance(f, Frame) and f.fin and f.opcode is Opcode.BINARY for f in frames)
    return [bytes(frame.data) for frame in frames if isinstance(frame, Frame)]


def chunk(data: bytes, stream: int) -> Chunk:
    return Chunk(0, 0, stream, 0, 0, data)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 1 << 17])
@pytest.mark.parametrize("channel", [b"", b"\x01"])
def test_a_frame_of_any_length_is_one_message(length: int, channel: bytes) -> None:
    payload = bytes(length)
    assert messages(binary_frame(payload, channel)) == [channel + payload]


chunks = st.lists(st.tuples(st.binary(min_size=1), st.sampled_from([STDOUT, STDERR])), max_size=8)
cuts = st.lists(st.integers(0, 4000), max_size=6)


@given(chunks, cuts)
def test_bytes_come_as_they_are(pieces: list[tuple[bytes, int]], places: list[int]) -> None:
    wire = RawFrames().encode([chunk(*piece) for piece in pieces])
    assert messages(wire, *places) == [data for data, _ in pieces]


@given(chunks, cuts)
def test_channels_tell_the_streams_apart(
    pieces: list[tuple[bytes, int]], places: list[int]
) -> None:
    wire = ChannelFrames().encode([chunk(*piece) for piece in pieces])
    assert messages(wire, *places) == [bytes([stream]) + data for data, stream in pieces]


@pytest.mark.parametrize("encoder", [RawFrames(), ChannelFrames()])
def test_readers_share_their_frames_and_are_told_of_no_gap(encoder: Encoder) -> None:
    assert encoder.is_like(type(encoder)())
    assert not encoder.marks_gaps
    assert encoder.head() == encoder.end({}, 0) == b""
