"""Excerpts: both ends of any log, within any number of bytes, and never half a character."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.output.excerpt import Excerpt, ends, excerpt
from service.output.utf8 import boundary, longest_prefix

NO_GAP = (0, 0)
TEXT = st.text(st.sampled_from("aé€𝄞\n"), max_size=80).map(str.encode)
BYTES = st.binary(max_size=200) | st.lists(
    st.sampled_from([b"a", "é".encode(), "€".encode(), b"\xe2\x82", b"\xff", b"\xf0\x9d", b"\n"]),
    max_size=80,
).map(b"".join)


def made(log: bytes, limit: int, gap: tuple[int, int] = NO_GAP) -> Excerpt:
    head, tail = ends(len(log), gap, limit)
    return excerpt(len(log), gap, limit, log[slice(*head)], log[slice(*tail)])


def test_a_log_that_has_room_is_shown_as_it_is() -> None:
    assert made(b"hello\n", 6) == Excerpt("hello\n", (0, 6), (6, 6), None)
    assert made(b"", 0) == Excerpt("", (0, 0), (0, 0), None)
    assert made(b"a\xffb\xe2\x82", 100).text == "a\ufffdb\ufffd"


def test_a_longer_one_has_three_fifths_of_its_head_and_two_of_its_tail() -> None:
    log = b"".join(b"%09d\n" % n for n in range(1000))
    found = made(log, 500)
    assert len(found.text.encode()) <= 500
    (start, a), (b, end) = found.head, found.tail
    assert (start, end, found.elided) == (0, 10_000, (a, b))
    first, _, last = found.text.partition(f"[jobrunner: bytes {a} to {b} left out]\n")
    assert (first, last) == (log[:a].decode() + "\n" * (a % 10 > 0), log[b:].decode())
    assert a / (a + end - b) == pytest.approx(0.6, abs=0.01)
    assert len(found.text) > 490


def test_dropped_bytes_are_left_out_of_a_log_that_would_have_room() -> None:
    log = b"begin\n" + bytes(50) + b"end\n"
    found = made(log, 1000, (6, 56))
    assert found == Excerpt(
        "begin\n[jobrunner: bytes 6 to 56 left out]\nend\n", (0, 6), (56, 60), (6, 56)
    )
    # What one end doesn't need is the other's.
    for gap in ((6, 56), (4, 56)):
        assert made(b"x" * 56 + b"end\n", 90, gap).tail == (56, 60)
    long_head = made(b"h" * 400 + bytes(50) + b"end\n", 500, (400, 450))
    assert (long_head.head, long_head.tail) == ((0, 400), (450, 454))
    long_tail = made(b"h\n" + bytes(50) + b"t" * 400, 500, (2, 52))
    assert (long_tail.head, long_tail.tail) == ((0, 2), (52, 452))


@pytest.mark.parametrize("limit", range(12))
def test_without_room_for_the_mark_it_is_short_or_missing(limit: int) -> None:
    found = made(b"x" * 100, limit)
    assert ("…" in found.text) == (limit >= 3)
    assert len(found.text.encode()) == limit


@example(b"\xe2\x82\xff\xff" * 30, 100, 0, 0)
@example(b"\xc2", 1, 0, 0)
@given(TEXT | BYTES, st.integers(0, 300), st.integers(0, 200), st.integers(0, 200))
def test_any_log_with_any_gap_in_any_room(log: bytes, limit: int, start: int, length: int) -> None:
    gap = (start, start + length) if length and start + length <= len(log) else NO_GAP
    found = made(log, limit, gap)
    assert len(found.text.encode()) <= limit
    (zero, a), (b, end) = found.head, found.tail
    assert (zero, end) == (0, len(log))
    first, last = log[:a].decode(errors="replace"), log[b:].decode(errors="replace")
    if found.elided is None:
        assert (gap, a, found.text) == (NO_GAP, end, first)
        return
    assert found.elided == (a, b)
    assert a <= b
    assert gap == NO_GAP or (a <= gap[0] and gap[1] <= b)
    assert found.text.startswith(first)
    assert found.text.endswith(last)
    if gap == NO_GAP and limit >= 3:
        mark = found.text[len(first) : len(found.text) - len(last)]
        assert str(a) in mark or mark == "…"
        # What is left of the room is less than what one character more takes, at either end.
        assert limit - len(found.text.encode()) <= 20


@given(st.text(st.sampled_from("aé€𝄞"), min_size=1, max_size=80).map(str.encode), st.data())
def test_no_character_is_split(log: bytes, data: st.DataObject) -> None:
    found = made(log, data.draw(st.integers(0, len(log))))
    assert "\ufffd" not in found.text


def cuts(data: bytes) -> list[int]:
    """Where a character ends, as bytes of a valid text have it."""
    return [i for i in range(len(data) + 1) if i == len(data) or data[i] & 0xC0 != 0x80]


@given(TEXT, st.data())
def test_boundaries_of_valid_text(data: bytes, draws: st.DataObject) -> None:
    at = draws.draw(st.integers(0, len(data)))
    assert boundary(data, at) == min(cut for cut in cuts(data) if cut >= at)


@given(BYTES, st.integers(0, 600))
def test_the_longest_prefix_within_the_room(data: bytes, room: int) -> None:
    used = longest_prefix(data, room)
    assert len(data[:used].decode(errors="replace").encode()) <= room
    rest = data[used:].decode(errors="replace")
    assert data[:used].decode(errors="replace") + rest == data.decode(errors="replace")


def test_a_long_prefix_is_found_across_blocks() -> None:
    data = ("€" * 2000).encode() + b"\xff" * 2000
    assert longest_prefix(data, 6000 + 300) == 6000 + 100
    assert longest_prefix(data, 10**6) == 8000
