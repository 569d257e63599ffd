"""Docker's frames, asciicast, and text with times: however output is cut, and wherever a reader
continues.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from encoding import CUTS, RUNS, STREAMS, after, bytes_of, chunks, of_stream, wire_of
from hypothesis import given
from hypothesis import strategies as st

from service.output.chunk import Chunk
from service.output.formats.asciicast import Asciicast
from service.output.formats.encoder import Encoder, Options
from service.output.formats.registry import FORMATS
from service.output.index import STDERR, STDOUT

BY_NAME = {found.name: found for found in FORMATS}
STARTED_NS = 1_500_000_000_000_000_000


def frames(wire: bytes) -> list[tuple[int, bytes]]:
    found = []
    while wire:
        stream, size = struct.unpack(">BxxxL", wire[:8])
        found.append((stream, wire[8 : 8 + size]))
        wire = wire[8 + size :]
    return found


def owned(found: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    return [(stream, byte) for stream, data in found for byte in data]


@given(RUNS, CUTS, STREAMS, st.integers(0, 60))
def test_frames_of_docker(script, cuts, stream, place) -> None:
    whole, cut = (of_stream(chunks(script, at), stream) for at in (frozenset(), cuts))
    one, other = (
        owned(frames(wire_of(BY_NAME["docker"].encoder(), read))) for read in (whole, cut)
    )
    assert one == other == [(chunk.stream, byte) for chunk in whole for byte in chunk.data]
    rest = owned(frames(wire_of(BY_NAME["docker"].encoder(), after(cut, place, stream))))
    assert one[: len(one) - len(rest)] + rest == one
    assert len(rest) == max(0, len(one) - place)


def test_a_gap_in_docker_s_frames_is_a_line_of_standard_error() -> None:
    encoder = BY_NAME["docker"].encoder(marks_gaps=True)
    assert frames(encoder.gap(3, 10)) == [(2, b"[jobrunner: 7 bytes dropped]\n")]
    assert not BY_NAME["docker"].encoder().marks_gaps


def cast() -> Asciicast:
    return Asciicast(Options(origin_ns=STARTED_NS, marks_gaps=True))


def late(read: list[Chunk]) -> list[Chunk]:
    return [chunk._replace(time_ns=chunk.time_ns + STARTED_NS) for chunk in read]


def shown(wire: bytes) -> list[tuple[float, str]]:
    """Each character with its time."""
    header, *events = map(json.loads, wire.splitlines())
    assert header == {"version": 2, "width": 80, "height": 24, "timestamp": 1_500_000_000}
    assert all(kind == "o" for _, kind, _ in events)
    return [(time, character) for time, _, text in events for character in text]


@given(RUNS, CUTS)
def test_a_cast_shows_the_output_however_it_is_cut(script, cuts) -> None:
    one, other = (shown(wire_of(cast(), late(chunks(script, at)))) for at in (frozenset(), cuts))
    assert one == other
    text = bytes_of(chunks(script)).decode(errors="replace").replace("\n", "\r\n")
    assert "".join(character for _, character in one) == text
    assert [time for time, _ in one] == sorted(time for time, _ in one)


@given(RUNS, CUTS, st.integers(0, 60))
def test_a_cast_continues_at_any_character(script, cuts, place) -> None:
    read = late(chunks(script, cuts))
    data = bytes_of(read)
    try:
        data[:place].decode()
        data[place:].decode()
    except UnicodeDecodeError:
        return
    encoder = cast()
    before = encoder.head() + b"".join(map(encoder.chunk, cut_at(read, place)))
    assert shown(before) + shown(wire_of(cast(), after(read, place))) == shown(
        wire_of(cast(), read)
    )


def cut_at(read: list[Chunk], place: int) -> list[Chunk]:
    cut = [chunk._replace(data=chunk.data[: max(0, place - chunk.offset)]) for chunk in read]
    return [chunk for chunk in cut if chunk.data]


def test_a_cast_has_a_line_for_a_gap_and_no_time_before_its_start() -> None:
    encoder = cast()
    encoder.chunk(Chunk(0, 0, STDOUT, 0, STARTED_NS - 5, b"\xe2\x82"))
    wire = encoder.head() + encoder.gap(2, 9)
    text = "\N{REPLACEMENT CHARACTER}[jobrunner: 7 bytes dropped]\r\n"
    assert shown(wire) == [(0, character) for character in text]


def stamped(**options: Any) -> Encoder:
    return BY_NAME["text"].encoder(timestamps=True, **options)


@given(RUNS, CUTS, STREAMS)
def test_times_stand_before_each_line_however_output_is_cut(script, cuts, stream) -> None:
    whole, cut = (of_stream(chunks(script, at), stream) for at in (frozenset(), cuts))
    wire = wire_of(stamped(), whole)
    assert wire == wire_of(stamped(), cut)
    lines = wire.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert all(line.startswith(b"1970-01-01T00:00:00.0000") for line in lines)
    without = b"\n".join(line[31:] for line in lines) + (b"\n" if wire.endswith(b"\n") else b"")
    assert without == bytes_of(whole)


@given(RUNS, CUTS, STREAMS, st.integers(1, 60))
def test_text_with_times_continues_inside_of_a_line(script, cuts, stream, place) -> None:
    read = of_stream(chunks(script, cuts), stream)
    data = bytes_of(read)
    if place >= len(data):
        return
    cut = place
    parts, head = [], stamped()
    for chunk in read:
        piece = chunk.data[:cut]
        cut -= len(piece)
        parts += [head.chunk(chunk._replace(data=piece))] if piece else []
    rest = stamped()
    rest.begin_after(data[place - 1 : place])
    assert b"".join(parts) + wire_of(rest, after(read, place, stream)) == wire_of(stamped(), read)


def test_the_time_of_a_line_is_that_of_its_first_byte_and_a_gap_ends_it() -> None:
    encoder = stamped(marks_gaps=True)
    first = Chunk(0, 0, STDOUT, 0, STARTED_NS, b"be")
    wire = encoder.chunk(first)
    wire += encoder.chunk(first._replace(stream=STDERR, time_ns=STARTED_NS + 7, data=b"gun\nun"))
    wire += encoder.gap(8, 10) + encoder.chunk(first._replace(data=b"\n"))
    assert wire == (
        b"2017-07-14T02:40:00.000000000Z begun\n"
        b"2017-07-14T02:40:00.000000007Z un\n"
        b"[jobrunner: 2 bytes dropped]\n"
        b"2017-07-14T02:40:00.000000000Z \n"
    )
    encoder = stamped()
    encoder.begin_after(b"")  # behind a gap
    assert encoder.chunk(first).startswith(b"2017")


def test_a_recording_of_a_terminal_has_its_size_and_its_bytes_as_they_are():
    recording = Asciicast(Options(size=(30, 100)))
    chunk = Chunk(0, 0, STDOUT, 0, 5, b"\x1b[3B\ndown\r\n")
    header, event = (
        json.loads(line) for line in (recording.head() + recording.chunk(chunk)).splitlines()
    )
    assert (header["width"], header["height"]) == (100, 30)
    assert event[1:] == ["o", "\x1b[3B\ndown\r\n"]
