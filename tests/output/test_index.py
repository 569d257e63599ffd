from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CorruptLog
from service.output.index import (
    HEADER_BYTES,
    RECORD_BYTES,
    STDERR,
    STDOUT,
    Gap,
    LogState,
    Record,
    TornHeader,
    record_position,
)

u64 = st.integers(0, 2**64 - 1)
gaps = st.builds(Gap, *[u64] * 6)
states = st.builds(LogState, u64, u64, st.booleans(), st.booleans(), u64, gaps)
records = st.builds(
    Record, u64, u64, u64, st.integers(0, 2**32 - 1), st.sampled_from([STDOUT, STDERR])
)


@given(states)
def test_header_comes_back_as_it_was_packed(state: LogState) -> None:
    raw = state.pack()
    assert len(raw) == HEADER_BYTES
    assert LogState.unpack(raw) == state


@given(st.lists(records, max_size=5), st.binary(max_size=RECORD_BYTES - 1))
def test_records_come_back_and_a_torn_one_is_left_out(found: list[Record], torn: bytes) -> None:
    raw = b"".join(record.pack() for record in found)
    assert len(raw) == RECORD_BYTES * len(found)
    assert Record.unpack_many(raw + torn) == found


@given(states, states, st.integers(1, HEADER_BYTES - 1))
def test_half_of_one_header_and_half_of_another_is_no_header(
    old: LogState, new: LogState, cut: int
) -> None:
    mixed = new.pack()[:cut] + old.pack()[cut:]
    if mixed in (old.pack(), new.pack()):
        assert LogState.unpack(mixed) in (old, new)
    else:
        with pytest.raises(TornHeader):
            LogState.unpack(mixed)


@pytest.mark.parametrize("raw", [b"", bytes(HEADER_BYTES - 1), bytes(HEADER_BYTES)])
def test_what_is_no_header_is_refused(raw: bytes) -> None:
    with pytest.raises(CorruptLog):
        LogState.unpack(raw)


def test_header_of_another_version_is_refused_with_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.output.index.VERSION", 7)
    raw = LogState(3, 2).pack()
    monkeypatch.undo()
    with pytest.raises(CorruptLog, match="version 7"):
        LogState.unpack(raw)


def test_record_tells_the_place_in_either_stream() -> None:
    record = Record(offset=10, stream_offset=4, time_ns=0, command=0, stream=STDERR)
    assert record.position_in(STDERR) == 4
    assert record.position_in(STDOUT) == 6


def test_state_tells_the_size_of_each_stream_and_of_both() -> None:
    state = LogState(end=10, stdout_end=7)
    assert [state.size(None), state.size(STDOUT), state.size(STDERR)] == [10, 7, 3]
    assert state.size(STDERR) == 3


def test_records_never_lie_across_two_pages() -> None:
    page = 4096
    for number in range(2 * page // RECORD_BYTES):
        start = record_position(number)
        assert start // page == (start + RECORD_BYTES - 1) // page
