"""Ranges: which bytes of a log, that may grow and have a gap, a `Range` header leads to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.ranges import FOLLOWING, ByteRange, parse_range


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-", ByteRange(0)),
        ("bytes=5-9", ByteRange(5, 9)),
        ("bytes=5-5", ByteRange(5, 5)),
        ("bytes=-3", ByteRange(None, count=3)),
        ("BYTES=1-", ByteRange(1)),
        ("bytes=1-2,5-6", ByteRange(1, 2)),
        ("bytes= ,\t1-2 , -4,", ByteRange(1, 2)),
        (f"bytes=7-{FOLLOWING}", ByteRange(7, FOLLOWING)),
        (f"bytes={10**30}-", ByteRange(10**30)),
    ],
)
def test_the_first_range_of_a_header_counts(text: str, expected: ByteRange) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=9-3",
        "bytes=a-",
        "bytes=1",
        "bytes=1 - 2",
        "bytes=-",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1-2,x",
        "bytes=1-2;3-4",
        "bytes=١-٢",
        "lines=1-2",
        f"bytes={'1' * 5000}-",
    ],
)
def test_a_header_that_is_no_range_of_bytes_is_ignored(text: str) -> None:
    assert parse_range(text) is None


def test_only_a_range_up_to_that_one_number_follows() -> None:
    assert ByteRange(3, FOLLOWING).follows
    assert not ByteRange(3, FOLLOWING - 1).follows
    assert not ByteRange(3).follows
    assert not ByteRange(None, count=FOLLOWING).follows


def test_the_last_zero_bytes_are_never_there() -> None:
    wanted = parse_range("bytes=-0")
    assert wanted is not None
    assert wanted.begin(10) > 10
    assert wanted.part(10) is None


@pytest.mark.parametrize(
    ("text", "size", "gap", "part"),
    [
        ("bytes=0-", 10, (0, 0), (0, 10)),
        ("bytes=4-6", 10, (0, 0), (4, 7)),
        ("bytes=4-99", 10, (0, 0), (4, 10)),
        ("bytes=-4", 10, (0, 0), (6, 10)),
        ("bytes=-40", 10, (0, 0), (0, 10)),
        ("bytes=9-", 10, (0, 0), (9, 10)),
        ("bytes=10-", 10, (0, 0), None),
        ("bytes=11-", 10, (0, 0), None),
        ("bytes=0-", 0, (0, 0), None),
        ("bytes=-4", 0, (0, 0), None),
        # With a gap it ends where that begins, and begins where it ends.
        ("bytes=0-", 10, (4, 6), (0, 4)),
        ("bytes=0-3", 10, (4, 6), (0, 4)),
        ("bytes=0-1", 10, (4, 6), (0, 2)),
        ("bytes=0-8", 10, (4, 6), (0, 4)),
        ("bytes=4-", 10, (4, 6), (6, 10)),
        ("bytes=5-7", 10, (4, 6), (6, 9)),
        ("bytes=6-", 10, (4, 6), (6, 10)),
        ("bytes=4-5", 10, (4, 6), (6, 8)),
        ("bytes=-5", 10, (4, 6), (6, 10)),
        ("bytes=-8", 10, (4, 6), (2, 4)),
        # Nothing is left behind it.
        ("bytes=5-", 10, (4, 10), (10, 10)),
        ("bytes=5-7", 10, (4, 10), (10, 10)),
        ("bytes=10-", 10, (4, 10), None),
    ],
)
def test_the_part_of_a_range_that_is_there(
    text: str, size: int, gap: tuple[int, int], part: tuple[int, int] | None
) -> None:
    wanted = parse_range(text)
    assert wanted is not None
    assert wanted.part(size, gap) == part


@given(st.data())
def test_a_client_that_goes_on_at_the_next_offset_gets_all_bytes_that_are_there_once(
    data: st.DataObject,
) -> None:
    size = data.draw(st.integers(1, 60))
    start = data.draw(st.integers(0, size))
    gap = (start, data.draw(st.integers(start, size)))
    got: list[int] = []
    offset = 0
    while (
        part := ByteRange(offset, offset + data.draw(st.integers(0, 20))).part(size, gap)
    ) is not None:
        begin, end = part
        if begin == end:
            break
        got += range(begin, end)
        offset = end
    assert got == [n for n in range(size) if not gap[0] <= n < gap[1]]
