"""Selections of made logs against a plain reference that looks at every byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_logs import MadeLog, Run

from service.errors import OutputDropped
from service.output.index import STDERR, STDOUT
from service.output.places import find_places
from service.output.reader import LogReader
from service.output.selected_cursor import SelectedCursor
from service.output.selection import Selection
from service.output.sequences import split_sequence

pytestmark = pytest.mark.once

STREAMS = st.sampled_from([None, STDOUT, STDERR])
COMMANDS = st.sampled_from([None, 0, 1, 2])
TIMES = st.integers(0, 12)
pieces = st.sampled_from(
    [
        b"\n",
        b"a\n",
        b"line\n",
        b"b",
        b"\n\n",
        "é€😀".encode(),
        b"\xe2\x82",
        b"\xff",
        b"x\r\n",
        b"cd",
    ]
)
runs = st.lists(
    st.builds(Run, st.sampled_from([STDOUT, STDERR]), st.integers(0, 2), TIMES, pieces), max_size=30
)
gaps = st.one_of(st.just((0, 0)), st.tuples(st.integers(1, 60), st.integers(1, 80)))


def made(found: list[Run], dropped: tuple[int, int], *, ordered: bool = True) -> MadeLog:
    if ordered:
        times = sorted(run.time_ns for run in found)
        found = [Run(r.stream, r.command, t, r.data) for r, t in zip(found, times, strict=True)]
    return MadeLog(found, dropped)


def read(
    log: MadeLog, wanted: Selection, *, skips_gap: bool = False, is_last: bool = True
) -> list[bytes | str]:
    """The bytes, and between them `gap` and what was elided."""
    with tempfile.TemporaryDirectory() as name:
        opening = log.write(Path(name))
        with LogReader.open(name) as reader:
            state, places = find_places(
                reader, opening, wanted, wanted.offset, skips_gap=skips_gap, is_last=is_last
            )
            assert state == opening
            cursor = SelectedCursor(reader, wanted, places, attributed=False)
            found: list[bytes | str] = [b""]
            while True:
                if elided := cursor.take_elision():
                    found += [f"{elided[0]}-{elided[1]}", b""]
                try:
                    chunks = cursor.next_chunks(state)
                except OutputDropped as dropped:
                    cursor.skip_to(dropped.until)
                    found += ["gap", b""]
                    continue
                if not chunks:
                    if cursor.take_elision() is None:
                        return found
                    raise AssertionError
                for chunk in chunks:
                    found[-1] += chunk.data


def bytes_of(found: list[bytes | str]) -> bytes:
    return b"".join(piece for piece in found if isinstance(piece, bytes))


def wanted_offsets(log: MadeLog, wanted: Selection) -> list[int]:
    start, end = log.dropped
    return [
        offset
        for offset, run in enumerate(log.owners)
        if not start <= offset < end
        and wanted.stream in (None, run.stream)
        and wanted.command in (None, run.command)
    ]


def place_of_time(log: MadeLog, time_ns: int) -> int:
    start, end = log.dropped
    for offset, run in enumerate(log.owners):
        if run.time_ns >= time_ns and not start <= offset < end:
            return start if offset == end and end else offset
    return len(log.whole)


def tail_begin(log: MadeLog, wanted: Selection) -> int:
    starts = []
    was_newline, was = True, -1
    _, gap_end = log.dropped
    for offset in wanted_offsets(log, wanted):
        if was_newline or was < gap_end <= offset:
            starts.append(offset)
        was_newline, was = log.whole[offset] == ord("\n"), offset
    if not wanted.tail or not starts:
        return len(log.whole)
    return starts[-min(wanted.tail, len(starts))]


def reference(log: MadeLog, wanted: Selection) -> bytes:
    begin, end = 0, len(log.whole)
    if wanted.tail is not None:
        begin = tail_begin(log, wanted)
    if wanted.since_ns is not None:
        begin = max(begin, place_of_time(log, wanted.since_ns))
    if wanted.until_ns is not None:
        end = place_of_time(log, wanted.until_ns)
    found = [o for o in wanted_offsets(log, wanted) if begin <= o < end]
    return bytes(log.whole[offset] for offset in found)


@settings(deadline=None, max_examples=62)
@given(runs, gaps, STREAMS, COMMANDS, st.one_of(st.none(), st.integers(0, 6)), st.one_of(st.none(), TIMES), st.one_of(st.none(), TIMES))  # fmt: skip
def test_a_selection_has_the_bytes_of_the_reference(found, dropped, stream, command, tail, since, until):  # fmt: skip
    log = made(found, dropped)
    wanted = Selection(stream=stream, command=command, tail=tail, since_ns=since, until_ns=until)
    assert bytes_of(read(log, wanted)) == reference(log, wanted)


@settings(deadline=None, max_examples=25)
@given(runs, gaps, STREAMS, COMMANDS, TIMES)
def test_windows_of_time_that_touch_have_each_byte_once(found, dropped, stream, command, time_ns):
    log = made(found, dropped)
    before, behind = (
        bytes_of(read(log, Selection(stream=stream, command=command, **window)))
        for window in ({"until_ns": time_ns}, {"since_ns": time_ns})
    )
    assert before + behind == reference(log, Selection(stream=stream, command=command))


@settings(deadline=None, max_examples=25)
@given(runs, gaps, TIMES)
def test_where_the_clock_was_set_back_a_beginning_has_an_earlier_time_before_it(found, dropped, time_ns):  # fmt: skip
    log = made(found, dropped, ordered=False)
    got = bytes_of(read(log, Selection(since_ns=time_ns)))
    kept = wanted_offsets(log, Selection())
    place = len(kept) - len(got)
    assert got == bytes(log.whole[offset] for offset in kept[place:])
    if got and place:
        assert log.owners[kept[place]].time_ns >= time_ns or kept[place] == log.dropped[1]
        assert log.owners[kept[place - 1]].time_ns < time_ns or kept[place] == log.dropped[1]


@settings(deadline=None, max_examples=50)
@given(runs, gaps, STREAMS, st.integers(1, 40))
def test_parts_of_a_limited_size_join_to_the_whole_and_split_no_sequence(found, dropped, stream, limit):  # fmt: skip
    log = made(found, dropped)
    rest = reference(log, Selection(stream=stream))
    offset = 0
    size = log.position(len(log.whole), stream)
    while rest:
        part = read(log, Selection(stream=stream, offset=offset, limit=limit))
        got = bytes_of(part)
        assert rest.startswith(got)
        assert 0 < len(got) <= max(limit, 4)
        start, end = (log.position(place, stream) for place in log.dropped)
        behind = offset + len(got)
        if offset <= start < end and behind > start:
            behind += end - start
        side = log.whole if stream is None else bytes(
            byte for byte, run in zip(log.whole, log.owners, strict=True) if run.stream == stream
        )  # fmt: skip
        if behind not in (start, end, size):
            low = end if behind > end else 0
            high = start if low == 0 and end else size
            assert split_sequence(side[max(low, behind - 4) : min(high, behind + 4)], min(4, behind - low)) == (0, 0)  # fmt: skip
        offset, rest = behind, rest[len(got) :]


@settings(deadline=None, max_examples=25)
@given(runs, gaps, STREAMS, COMMANDS, st.integers(1, 30))
def test_a_limited_part_is_a_beginning_also_of_one_command(found, dropped, stream, command, limit):
    log = made(found, dropped)
    whole = reference(log, Selection(stream=stream, command=command))
    got = bytes_of(read(log, Selection(stream=stream, command=command, limit=limit)))
    assert whole.startswith(got)
    assert min(len(whole), max(1, limit - 3)) <= len(got) <= max(limit, 4)


@settings(deadline=None, max_examples=50)
@given(runs, gaps, STREAMS, COMMANDS, st.integers(0, 30), st.integers(0, 30))
def test_both_ends_and_what_lies_between_are_the_whole(found, dropped, stream, command, head, tail):
    log = made(found, dropped)
    whole = reference(log, Selection(stream=stream, command=command))
    wanted = Selection(stream=stream, command=command, head=head, tail_bytes=tail)
    parts = [part for part in read(log, wanted) if part != "gap"]
    elisions = [part for part in parts if isinstance(part, str)]
    if not elisions:
        assert bytes_of(parts) == whole
        return
    place = parts.index(elisions[0])
    before, behind = bytes_of(parts[:place]), bytes_of(parts[place:])
    assert whole.startswith(before)
    assert whole.endswith(behind)
    assert head - 3 <= len(before) <= head
    assert tail - 3 <= len(behind) <= tail
    first, last = map(int, elisions[0].split("-"))
    middle = [
        offset
        for offset in wanted_offsets(log, Selection(stream=stream, command=command))
        if first <= log.position(offset, stream) < last
    ]
    assert len(middle) == len(whole) - len(before) - len(behind)


def test_a_reader_that_cant_be_told_of_a_gap_begins_behind_it():
    log = MadeLog([Run(STDOUT, 0, 1, b"one\ntwo\n"), Run(STDOUT, 0, 2, b"lost\n"), Run(STDOUT, 0, 3, b"end\n")], (8, 13))  # fmt: skip
    assert read(log, Selection(tail=3)) == [b"one\ntwo\n", "gap", b"end\n"]
    assert read(log, Selection(tail=2)) == [b"two\n", "gap", b"end\n"]
    assert read(log, Selection(tail=2), skips_gap=True) == [b"end\n"]
    assert read(log, Selection(since_ns=1), skips_gap=True) == [b"end\n"]
    assert read(log, Selection(since_ns=2)) == [b"", "gap", b"end\n"]


def test_a_gap_is_nothing_to_a_command_that_was_over_or_hadn_t_begun():
    log = MadeLog([Run(STDOUT, 0, 1, b"zero\n"), Run(STDOUT, 1, 1, b"one\n"), Run(STDOUT, 1, 2, b"lost\n"), Run(STDOUT, 1, 3, b"more\n"), Run(STDOUT, 2, 3, b"two\n")], (9, 14))  # fmt: skip
    assert read(log, Selection(command=0)) == [b"zero\n"]
    assert read(log, Selection(command=1)) == [b"one\n", "gap", b"more\n"]
    assert read(log, Selection(command=2)) == [b"two\n"]
