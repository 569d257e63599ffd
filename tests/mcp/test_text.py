from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.mcp.text import MAX_GROWTH, fits, fitting, fitting_end, rendered, settled, size

pytestmark = pytest.mark.once

# What programs write: text, colours, progress bars, characters that hide, and anything at all.
PARTS = st.sampled_from(
    [
        b"word ", b"\n", b"\r\n", b"\r", b"\t", b"\x1b[31m", b"\x1b[0m", b"\x1b[K", b"\x1b[",
        b"\x1b]0;title\x07", b"\x1b]8;;http://x", b"\x1b", b"\x07", b"\x00", b"\x9b1m",
        "naïve".encode(), "\u202e\u200b".encode(), "\U000e0041".encode(), b"\xff\xe2\x82", b"\x85",
        b"12%\r13%\r14%", b"x" * 40,
    ]
)  # fmt: skip
OUTPUT = st.lists(st.one_of(PARTS, st.binary(max_size=12)), max_size=40).map(b"".join)
BUDGET = st.integers(min_value=MAX_GROWTH, max_value=400)


def test_what_hides_or_drives_a_terminal_is_told_or_taken_out():
    assert rendered(b"a\x1b[1;31mb\x1b[0mc\n") == "abc\n"
    assert rendered(b"  5%\r 50%\r100%\r\n") == "100%\n"
    assert rendered("abc\u202edef\u200b\ufeff".encode()) == "abc\\u202edef\\u200b\\ufeff"
    assert rendered(b"\x00\x08 \xff") == "\\u0000\\u0008 \ufffd"
    assert rendered("tab\tstays, as does ünïcödé 漢字\n".encode()) == (
        "tab\tstays, as does ünïcödé 漢字\n"
    )


@given(OUTPUT)
@example(b"\x07" * 10)
def test_text_grows_by_a_bound(data):
    assert size(rendered(data)) <= MAX_GROWTH * len(data)


@given(OUTPUT, BUDGET, st.sampled_from(["more", "maybe", "nothing"]))
def test_what_fits_fits_and_something_does(data, budget, behind):
    count = fitting(data, budget, behind)
    assert 0 <= count <= len(data)
    assert fits(data[:count], budget)
    if data and behind != "maybe":
        assert count > 0


@given(OUTPUT, BUDGET)
def test_pages_have_each_byte_once_whatever_the_budget(data, budget):
    place, pages = 0, []
    while place < len(data):
        # A page is read at most as long as its budget.
        part = data[place : place + budget]
        count = fitting(part, budget, "more" if place + len(part) < len(data) else "nothing")
        assert count > 0
        pages.append(part[:count])
        place += count
    assert b"".join(pages) == data


@given(OUTPUT, BUDGET)
def test_pages_that_end_with_lines_read_as_the_whole(data, budget):
    count = fitting(data, budget, "more")
    if data[:count].endswith(b"\n"):
        assert rendered(data[:count]) + rendered(data[count:]) == rendered(data)


@given(OUTPUT, st.integers(min_value=4 * MAX_GROWTH, max_value=400))
@example(b"\xe2\x80\xae" * 9, 24)
def test_the_end_fits(data, budget):
    begin = fitting_end(data, budget)
    assert fits(data[begin:], budget)
    assert begin < len(data) or not data


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"all of it", b"all of it"),
        (b"red \x1b[3", b"red "),
        (b"red \x1b", b"red "),
        (b"red \x1b[31m", b"red \x1b[31m"),
        (b"title \x1b]0;half a ti", b"title "),
        (b"half a letter " + "é".encode()[:1], b"half a letter "),
        (b"half " + "漢".encode()[:2], b"half "),
        (b"half " + "😀".encode()[:3], b"half "),
        (b"no letter \xff", b"no letter \xff"),
        ("whole é".encode(), "whole é".encode()),
        (b"\x1b[3", b""),
        (b"\x1b]0;" + b"x" * 5000, b"\x1b]0;" + b"x" * 5000),  # no terminal waits for its end
    ],
)
def test_what_may_still_be_completed_waits(data, shown):
    assert data[: settled(data)] == shown
    assert fitting(data, 100_000, "maybe") == len(shown)
    assert fitting(data, 100_000, "nothing") == len(data)


def test_a_page_ends_with_a_line_or_between_sequences():
    assert fitting(b"one\ntwo\nthree", 9, "more") == len(b"one\ntwo\n")
    assert fitting(b"one two three four", 9, "more") == 9
    assert fitting(b"123456\x1b[31m89", 8, "more") in (6, 11, 13)
    assert fitting_end(b"one\ntwo\nthree\n", 9) == len(b"one\ntwo\n")
