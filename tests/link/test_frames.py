"""Frames: the same messages under any chunking, and nothing else is taken for one."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.link.frames import MAX_FRAME_BYTES, Frames, ProtocolError, encode
from service.link.session import framed, parse

values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.floats(0, 1))
messages = st.builds(
    lambda rest, name: {**rest, "type": name},
    st.dictionaries(st.text(max_size=5), values, max_size=3),
    st.text(max_size=5),
)


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_messages_come_out_alike_under_any_chunking(sent, sizes):
    stream = b"".join(map(encode, sent))
    frames, got, at = Frames(), [], 0
    for size in itertools.cycle(sizes):
        got += frames.feed(stream[at : at + size])
        at += size
        if at >= len(stream):
            break
    assert got == sent


@given(messages, st.text(st.characters(codec=None, categories=["Cs", "L", "S"])))
def test_both_sides_write_and_read_the_same(message, text):
    message = {**message, "env": {text: text}}
    for write, read in itertools.product((encode, framed), (json.loads, parse)):
        assert list(Frames(read).feed(write(message))) == [message]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\xff", b'{"type": "x"'])
def test_what_is_no_json_is_refused_by_both_sides(body):
    for read in (json.loads, parse):
        with pytest.raises(ProtocolError):
            list(Frames(read).feed(frame(body)))


def test_a_byte_at_a_time_is_enough():
    frames = Frames()
    got = [m for byte in encode({"type": "x", "a": [1]}) * 2 for m in frames.feed(bytes([byte]))]
    assert got == [{"type": "x", "a": [1]}] * 2


@given(st.text(st.characters(codec=None, categories=["Cs", "L", "S"])))
def test_undecodable_bytes_of_an_environment_come_through(text):
    (got,) = Frames().feed(encode({"type": "x", "env": text}))
    assert got["env"] == text


def test_a_message_of_a_megabyte_comes_through_in_pieces():
    message = {"type": "start", "env": {"A": "ä" * 500_000}}
    data = encode(message)
    frames = Frames()
    got = [m for at in range(0, len(data), 65_536) for m in frames.feed(data[at : at + 65_536])]
    assert got == [message]


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "data",
    [
        frame(b""),
        frame(b"nonsense"),
        frame(b"\xff\xfe"),
        frame(b"[]"),
        frame(b"[" * 100_000),
        frame(b"1"),
        frame(b"{}"),
        frame(b'{"type": 1}'),
        frame(b'{"type": null}'),
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=repr,
)
def test_what_is_no_frame_is_an_error(data):
    with pytest.raises(ProtocolError):
        list(Frames().feed(data))


def test_messages_before_a_broken_frame_come_out():
    got = []
    with pytest.raises(ProtocolError):
        for message in Frames().feed(encode({"type": "a"}) + frame(b"broken")):
            got.append(message)  # noqa: PERF402 - a list() would lose what came before the error
    assert got == [{"type": "a"}]


def test_an_unfinished_frame_is_waited_for():
    frames = Frames()
    assert list(frames.feed(frame(b'{"type": "x"}')[:-1])) == []
    assert list(frames.feed(b"}")) == [{"type": "x"}]


def test_a_frame_is_compact_json_in_ascii():
    body = encode({"type": "x", "ü": "\udcff"})[4:]
    assert body.isascii()
    assert b" " not in body
    assert json.loads(body) == {"type": "x", "ü": "\udcff"}
