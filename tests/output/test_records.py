"""SSE and NDJSON: the records, however output is cut into chunks and wherever a reader continues."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from encoding import CUTS, RUNS, STREAMS, after, bytes_of, chunks, of_stream, wire_of
from hypothesis import given
from hypothesis import strategies as st

from service.output.chunk import Chunk
from service.output.formats.ndjson import Ndjson
from service.output.formats.records import MAX_LINE_BYTES
from service.output.formats.registry import FORMATS
from service.output.formats.sse import Sse
from service.output.index import STDERR, STDOUT

if TYPE_CHECKING:
    from service.output.formats.encoder import Encoder

BY_NAME = {found.name: found for found in FORMATS}


class Event(NamedTuple):
    kind: str
    place: str | None
    body: dict[str, Any]


def of_sse(wire: bytes) -> list[Event]:
    """As an `EventSource` reads them."""
    found = []
    for block in wire.decode().split("\n\n"):
        fields = [line.partition(": ")[::2] for line in block.split("\n") if line[:1] != ":"]
        if "data" in (named := dict(fields)):
            found.append(Event(named["event"], named["id"], json.loads(named["data"])))
    return found


def of_ndjson(wire: bytes) -> list[Event]:
    events = [json.loads(line) for line in wire.splitlines()]
    return [Event(each.pop("Type"), None, each) for each in events]


def data_of(body: dict[str, Any]) -> bytes:
    if "Data" in body:
        return base64.b64decode(body["Data"])
    return body["Text"].encode()


def normalised(events: list[Event]) -> list[tuple[int, int, str, int, str]]:
    """Each byte of the output: its offset and value, stream, command and time."""
    found = []
    for kind, _, body in events:
        if kind == "output":
            data = data_of(body)
            assert body["End"] - body["Offset"] == len(data)
            owner = (body["Stream"], body["Command"], body["Time"])
            found += [(body["Offset"] + n, byte, *owner) for n, byte in enumerate(data)]
    return found


@given(RUNS, CUTS, STREAMS, st.sampled_from(["sse", "ndjson"]))
def test_chunks_leave_no_trace(script, cuts, stream, name) -> None:
    parse = of_sse if name == "sse" else of_ndjson
    whole = of_stream(chunks(script), stream)
    size = sum(len(chunk.data) for chunk in whole)
    wires = [
        wire_of(BY_NAME[name].encoder(stream=stream), read, size)
        for read in (whole, of_stream(chunks(script, cuts), stream))
    ]
    one, other = (normalised(parse(wire)) for wire in wires)
    assert one == other
    assert bytes(byte for _, byte, *_ in one) == bytes_of(whole)
    assert [offset for offset, *_ in one] == list(range(size))


@given(RUNS, CUTS, STREAMS)
def test_lines_are_the_same_however_the_output_is_cut(script, cuts, stream) -> None:
    whole = of_stream(chunks(script), stream)
    cut = of_stream(chunks(script, cuts), stream)
    encoders = [BY_NAME["ndjson"].encoder(stream=stream, lines=True) for _ in range(2)]
    one, other = (
        of_ndjson(wire_of(encoder, read))
        for encoder, read in zip(encoders, (whole, cut), strict=True)
    )
    assert one == other
    data = b""
    for _, _, body in one[:-1]:
        assert body["Offset"] == len(data)
        data += data_of(body) + (b"" if body.get("Partial") else b"\n")
        assert body["End"] == len(data)
    assert data == bytes_of(whole)


@given(RUNS, CUTS, CUTS, STREAMS, st.booleans(), st.integers(0, 40))
def test_a_reader_continues_behind_any_event(script, cuts, later, stream, lines, taken) -> None:
    def encoder() -> Encoder:
        return BY_NAME["sse"].encoder(stream=stream, lines=lines)

    read = of_stream(chunks(script, cuts), stream)
    size = sum(len(chunk.data) for chunk in read)
    events = of_sse(wire_of(encoder(), read, size))
    had = events[: min(taken, len(events) - 1)]
    place = int(had[-1].place) if had else 0
    rest = after(of_stream(chunks(script, later), stream), place, stream)
    came = of_sse(wire_of(encoder(), rest, size))
    assert came[-1] == events[-1] == ("end", f"{size}.end", {"State": "exited"})
    if lines:
        assert had + came == events
    else:
        assert normalised(had + came) == normalised(events)


@given(RUNS, CUTS, STREAMS, st.integers(0, 60))
def test_a_heartbeat_names_a_place_where_nothing_is_lost(script, cuts, stream, at) -> None:
    read = of_stream(chunks(script, cuts), stream)[:at]
    encoder = BY_NAME["ndjson"].encoder(stream=stream, lines=True)
    told = b"".join(encoder.encode([chunk]) for chunk in read)
    size = sum(len(chunk.data) for chunk in read)
    [beat] = of_ndjson(encoder.heartbeat(size, 1_500_000_000_123_456_789))
    last = of_ndjson(told)[-1].body["End"] if told else 0
    assert beat == ("heartbeat", None, {"Offset": last, "Time": "2017-07-14T02:40:00.123456789Z"})
    assert BY_NAME["sse"].encoder().heartbeat(size, 1) == b":\n"


@given(st.text(min_size=1), st.integers(1, 4))
def test_no_sequence_is_split_between_two_events_of_a_stream(text, step) -> None:
    data = text.encode(errors="ignore")
    script = [(STDOUT, 0, data[at : at + step]) for at in range(0, len(data), step)]
    for stream in (None, STDOUT):
        events = of_ndjson(wire_of(BY_NAME["ndjson"].encoder(stream=stream), chunks(script)))
        assert all("Text" in event.body for event in events[:-1])
        assert "".join(event.body["Text"] for event in events[:-1]).encode() == data


def test_of_one_stream_a_sequence_is_whole_though_the_other_wrote_inside_of_it() -> None:
    script = [(STDOUT, 0, b"a\xe2"), (STDERR, 0, b"e"), (STDOUT, 0, b"\x82\xacb")]
    only = of_ndjson(
        wire_of(
            Ndjson(BY_NAME["ndjson"].encoder(stream=STDOUT).options),
            of_stream(chunks(script), STDOUT),
        )
    )
    assert [event.body.get("Text") for event in only] == ["a", "€b", None]
    both = of_ndjson(wire_of(BY_NAME["ndjson"].encoder(), chunks(script)))
    assert [data_of(event.body) for event in both[:-1]] == [b"a", b"\xe2", b"e", b"\x82\xacb"]


def test_the_members_of_each_record() -> None:
    encoder = BY_NAME["ndjson"].encoder()
    chunk = Chunk(5, 2, STDERR, 3, 1_500_000_000_000_000_007, b'say "\xff"')
    wire = encoder.head() + encoder.encode([chunk._replace(data=b"hi\n")])
    wire += encoder.encode([chunk._replace(offset=8, data=b"\xff")]) + encoder.gap(9, 12)
    wire += encoder.end({"State": "exited", "ExitCode": 0}, 12)
    time = "2017-07-14T02:40:00.000000007Z"
    assert [json.loads(line) for line in wire.splitlines()] == [
        {"Type": "output", "Offset": 5, "End": 8, "Stream": "stderr", "Command": 3, "Time": time,
         "Text": "hi\n"},
        {"Type": "output", "Offset": 8, "End": 9, "Stream": "stderr", "Command": 3, "Time": time,
         "Data": "/w=="},
        {"Type": "gap", "From": 9, "To": 12},
        {"Type": "end", "State": "exited", "ExitCode": 0},
    ]  # fmt: skip


def test_an_event_has_the_place_behind_it_as_its_id() -> None:
    encoder = BY_NAME["sse"].encoder()
    wire = encoder.head() + encoder.encode(chunks([(STDOUT, 0, b"one\n")])) + encoder.gap(4, 9)
    wire += encoder.end({"State": "exited"}, 9)
    assert wire.startswith(b"retry: 1000\nid: 4\n")
    assert [event[:2] for event in of_sse(wire)] == [
        ("output", "4"),
        ("gap", "9"),
        ("end", "9.end"),
    ]


def test_a_gap_comes_behind_what_was_held_back() -> None:
    encoder = BY_NAME["ndjson"].encoder(lines=True)
    assert encoder.encode(chunks([(STDOUT, 0, b"un")])) == b""
    held, gap = of_ndjson(encoder.gap(2, 7))
    assert (held.body["Text"], held.body["Partial"], held.body["End"]) == ("un", True, 2)
    assert gap == ("gap", None, {"From": 2, "To": 7})


@pytest.mark.parametrize("step", [1000, MAX_LINE_BYTES, 3 * MAX_LINE_BYTES])
def test_a_long_line_is_cut_between_characters(step) -> None:
    data = b"x" + "ä".encode() * MAX_LINE_BYTES + b"\nshort\n"
    script = [(STDOUT, 0, data[at : at + step]) for at in range(0, len(data), step)]
    wire = wire_of(BY_NAME["ndjson"].encoder(lines=True), chunks(script))
    bodies = [event.body for event in of_ndjson(wire)[:-1]]
    lengths = [len(data_of(body)) for body in bodies]
    assert lengths == [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, 2, 5]
    assert [body.get("Partial") for body in bodies] == [True, True, None, None]


def test_every_record_can_have_members_of_its_stream() -> None:
    class OfJob(Ndjson):
        def members(self, place: int) -> dict[str, object]:
            return {"Job": "x", "Cursor": f"x-{place}"}

    encoder = OfJob()
    wire = encoder.encode(chunks([(STDOUT, 0, b"hi")])) + encoder.record("line", {"Line": 1}, 2)
    first, line = of_ndjson(wire)
    assert (first.body["Job"], first.body["Cursor"], first.body["Text"]) == ("x", "x-2", "hi")
    assert line == ("line", None, {"Job": "x", "Cursor": "x-2", "Line": 1})
    assert isinstance(BY_NAME["sse"].encoder(), Sse)
