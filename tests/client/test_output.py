"""The output of a job over any cut: every byte once, and no cut looks like an end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_service import PIECE, Clock, Cutting, Output, drive, policy, problem

from service.client.failures import UnexpectedAnswer
from service.client.output import (
    MAX_LINE_BYTES,
    Place,
    place_of,
    read_bytes,
    read_lines,
    read_records,
)
from service.client.results import Gap, Record
from service.client.steps import Failure, Request
from service.client.wire import LineSplitter
from service.errors import OffsetInGap

pytestmark = pytest.mark.once

DATA = st.lists(st.sampled_from([b"a", b"\n", b"\xff", "é".encode(), b"line\n"])).map(b"".join)
CUTS = st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=6)
SIZES = st.integers(1, 50)


@given(data=DATA, cuts=CUTS, step=SIZES, fragment=SIZES, start=st.integers(0, 20))
def test_bytes_come_once_each_over_any_cut(data, cuts, step, fragment, start):
    clock, output = Clock(), Output(data, step, fragment)
    place = Place(job_id="j", offset=min(start, len(data)))
    begin = place.offset
    flow = read_bytes(policy(clock), place, gaps="cut", follow=True)
    assert b"".join(drive(flow, Cutting(output, cuts), clock)) == data[begin:]
    assert place.is_last
    assert place.offset == len(data)


@given(data=DATA, cuts=CUTS, step=SIZES, fragment=SIZES, tail=st.integers(0, 3))
def test_the_tail_is_that_of_the_first_response_over_any_cut(data, cuts, step, fragment, tail):
    clock, output = Clock(), Output(data, step, fragment)
    place = place_of("j", selection={"tail": tail})
    flow = read_bytes(policy(clock), place, gaps="cut", follow=True)
    assert b"".join(drive(flow, Cutting(output, cuts), clock)) == data[output.begins[0] :]


@given(data=DATA, cuts=CUTS, step=SIZES, fragment=SIZES, limit=st.integers(1, 60))
def test_a_limit_is_counted_down_over_any_cut(data, cuts, step, fragment, limit):
    clock, output = Clock(), Output(data, step, fragment)
    place = place_of("j", selection={"limit": limit})
    flow = read_bytes(policy(clock), place, gaps="cut", follow=True)
    assert b"".join(drive(flow, Cutting(output, cuts), clock)) == data[:limit]


@given(data=DATA, cuts=CUTS, step=SIZES, fragment=SIZES, limit=st.none() | st.integers(1, 60))
def test_what_one_command_wrote_comes_once_over_any_cut(data, cuts, step, fragment, limit):
    clock, output = Clock(), Output(data, step, fragment)
    place = place_of("j", selection={"command": 1, "limit": limit})
    flow = read_records(policy(clock), place, lines=False, follow=True)
    records = drive(flow, Cutting(output, cuts), clock)
    written = [data[i : i + PIECE] for i in range(PIECE, len(data), 2 * PIECE)]
    assert b"".join(record.data for record in records) == b"".join(written)[:limit]
    assert all(data[record.offset : record.end] == record.data for record in records)


@given(data=DATA, cuts=CUTS, step=SIZES, fragment=SIZES)
def test_records_come_once_each_over_any_cut(data, cuts, step, fragment):
    clock, output = Clock(), Output(data, step, fragment)
    place = Place(job_id="j")
    flow = read_records(policy(clock), place, lines=False, follow=True)
    records = drive(flow, Cutting(output, cuts), clock)
    assert all(isinstance(record, Record) for record in records)
    assert b"".join(record.data for record in records) == data
    assert [record.offset for record in records] == [0, *[r.end for r in records]][: len(records)]


@given(data=DATA, cuts=CUTS, step=SIZES, fragment=SIZES)
def test_lines_are_those_of_the_whole_over_any_cut(data, cuts, step, fragment):
    clock, output = Clock(), Output(data, step, fragment)
    flow = read_lines(policy(clock), Place(job_id="j"), gaps="cut", follow=True)
    lines = drive(flow, Cutting(output, cuts), clock)
    assert lines == [line.removesuffix(b"\n") for line in data.splitlines(keepends=True)] or (
        b"\n".join(lines) == data.removesuffix(b"\n")
    )


@given(
    st.lists(st.lists(st.sampled_from([b"a", b"b", b"\n"])).map(b"".join)),
    st.integers(1, 5),
)
def test_lines_that_are_too_long_come_in_pieces_which_are_full_but_for_the_last(parts, most):
    splitter = LineSplitter(most)
    found = [line for part in parts for line in splitter.feed(part)] + splitter.rest()
    expected = []
    *whole, rest = b"".join(parts).split(b"\n")
    for line in [*whole, *([rest] if rest else [])]:
        expected += [line[i : i + most] for i in range(0, len(line), most)] or [b""]
    assert found == expected


def test_a_line_without_end_is_held_up_to_a_bound():
    splitter = LineSplitter(MAX_LINE_BYTES)
    pieces = splitter.feed(bytes(3 * MAX_LINE_BYTES))
    assert [len(piece) for piece in pieces] == [MAX_LINE_BYTES] * 2
    assert len(splitter.rest()[0]) == MAX_LINE_BYTES


def test_what_is_there_now_ends_without_the_end_of_the_job():
    clock, output = Clock(), Output(b"0123456789", step=4, fragment=3)
    place = Place(job_id="j")
    flow = read_bytes(policy(clock), place, gaps="cut", follow=False)
    assert drive(flow, output, clock) == [b"012", b"3"]
    assert not place.is_last


GAP = problem(416, "offset_in_gap", gap=[3, 9], end=11)


def with_gap(request: Request) -> Any:
    """Of `abc`, six dropped bytes and `jk`."""
    offset = int(dict(request.query)["offset"])
    headers = {"Jobrunner-Offset": str(offset), "Content-Length": str(11 - offset)}
    headers |= {"Jobrunner-State": "exited", "Jobrunner-Bytes": "11"}
    if offset < 3:
        return 200, headers, [b"abc"[offset:], Failure("cut at the gap")]
    return GAP if offset < 9 else (200, headers, [b"abcdefghijk"[offset:]])


def test_dropped_output_is_an_error_that_says_where_it_goes_on():
    clock = Clock()
    place = Place(job_id="j")
    flow = read_bytes(policy(clock), place, gaps="cut", follow=True)
    with pytest.raises(OffsetInGap) as raised:
        drive(flow, with_gap, clock)
    assert (raised.value.gap, place.offset) == ((3, 9), 3)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (0, b"abc\n[jobrunner: 6 bytes dropped]\njk"),
        (4, b"[jobrunner: 5 bytes dropped]\njk"),
        (9, b"jk"),
    ],
)
def test_dropped_output_can_be_marked_by_a_line_of_its_own(start, expected):
    clock = Clock()
    place = Place(job_id="j", offset=start)
    flow = read_bytes(policy(clock), place, gaps="mark", follow=True)
    assert b"".join(drive(flow, with_gap, clock)) == expected


def records_of(*lines: bytes) -> Any:
    return lambda request: (200, {"Jobrunner-Offset": "0"}, [b"\n".join(lines) + b"\n"])


END = (
    b'{"Type":"end","State":"exited","Reason":null,"ExitCode":0,"Signal":null,"Bytes":9,'
    b'"Stdout":9,"Stderr":0,"SHA256":null}'
)


def test_a_gap_is_a_record():
    clock = Clock()
    flow = read_records(policy(clock), Place(job_id="j"), lines=False, follow=True)
    gap = b'{"Type":"gap","From":0,"To":9}'
    assert drive(flow, records_of(gap, END), clock) == [Gap(0, 9)]


@pytest.mark.parametrize(
    "lines",
    [
        [b"<html>"],
        [b'{"Type":"new"}'],
        [END],
        [b'{"Type":"gap","From":1,"To":9}'],
    ],
    ids=["no JSON", "unknown", "end before its last byte", "hole"],
)
def test_what_this_service_does_not_say_is_an_error_and_no_end(lines):
    clock = Clock()
    flow = read_records(policy(clock), Place(job_id="j"), lines=False, follow=True)
    with pytest.raises(UnexpectedAnswer):
        drive(flow, records_of(*lines), clock)
