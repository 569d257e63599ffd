"""Filters against a plain reference that takes one character after the other, in any pieces."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.output.filters.ansi import StripAnsi
from service.output.filters.carriage import CollapseCarriageReturns
from service.output.filters.filter import Chain, Filter
from service.output.filters.rewriting import filters

pytestmark = pytest.mark.once

INTRODUCERS = dict(zip("\udc9b\udc9d\udc90\udc98\udc9e\udc9f", "[]PX^_", strict=True))
PIECES = [
    b"\x1b", b"[", b"]", b"P", b"X", b"^", b"_", b"\\", b"(", b"B", b"#8", b"%G", b"0;31", b"m", b"2K", b"K", b"1K",
    b"\x1b[31m", b"\x1b[K", b"\x1b[2K", b"\x1b[1K", b"\x1b]0;title\x07", b"\x1b]8;;x\x1b\\", b"\x1bPq#0\x1b\\",
    b"\x9b", b"\x9d", b"\x90", b"\x9c", b"\x84", b"\x9b1m", "›".encode(), "“é€😀".encode(), b"\xe2\x80", b"\xff", b"\xc2",
    b"\x07", b"\x18", b"\x1a", b"\x0e", b"\x0f", b"\r", b"\r\n", b"\n", b" ", b"a", b"word", b"\t", b"\x7f", b"?25h",
]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=40).map(
    b"".join
)


def decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def stripped(data: bytes, *, keeping_erasures: bool = False) -> bytes:  # noqa: PLR0915
    """A state machine, one character at a time."""
    out, mode, begun = [], "ground", ""
    for char in decoded(data):
        if char in "\x1b\n" or "\udc80" <= char <= "\udc9f" or char in "\x18\x1a":
            was, mode = mode, "ground"
            if char == "\x1b":
                mode = "escape"
            elif char == "\n":
                out.append(char)
            elif char in INTRODUCERS:
                mode = "csi" if INTRODUCERS[char] == "[" else "string"
                begun = "8" if mode == "csi" else ""
            elif char in "\x18\x1a" and was == "ground":
                out.append(char)
            continue
        if mode == "escape":
            if " " <= char <= "/":
                mode = "intermediate"
                continue
            mode = {"[": "csi"}.get(char, "string" if char in "]PX^_" else "ground")
            begun = ""
            if mode != "ground" or "0" <= char <= "~":
                continue
        elif mode == "intermediate":
            if " " <= char <= "/":
                continue
            mode = "ground"
            if "0" <= char <= "~":
                continue
        elif mode == "csi":
            if " " <= char <= "?":
                begun += char
                continue
            mode = "ground"
            if "@" <= char <= "~":
                if keeping_erasures and char == "K" and begun in ("", "0", "1", "2"):
                    out.append(f"\x1b[{begun}K")
                continue
        elif mode == "string":
            if char == "\x07":
                mode = "ground"
            continue
        if char not in "\x0e\x0f":
            out.append(char)
    return encoded("".join(out))


def collapsed(data: bytes) -> bytes:
    """Each line on a screen of its own, one character at a time."""
    return encoded("\n".join(map(shown, decoded(data).split("\n"))))


def shown(line: str) -> str:
    line = line.rstrip("\r")
    if "\r" not in line:
        return line
    cells: dict[int, str] = {}
    cursor, sequences, rest = 0, "", line
    while rest:
        char, rest = rest[0], rest[1:]
        if char == "\r":
            cursor = 0
        elif char == "\x1b" and rest[:1] == "[" and (csi := csi_at(rest[1:])) is not None:
            rest = rest[1 + len(csi) :]
            if csi in ("K", "0K"):
                cells = {place: cell for place, cell in cells.items() if place < cursor}
            elif csi == "1K":
                cells = {place: cell for place, cell in cells.items() if place > cursor}
            elif csi == "2K":
                cells = {}
            else:
                sequences += f"\x1b[{csi}"
        else:
            cells[cursor] = sequences + char
            sequences = ""
            cursor += 1
    width = max(cells, default=-1) + 1
    return "".join(cells.get(place, " ") for place in range(width)) + sequences


def csi_at(text: str) -> str | None:
    for place, char in enumerate(text):
        if "@" <= char <= "~" and place <= 64:
            return text[: place + 1]
        if not " " <= char <= "?":
            return None
    return None


def run(found: Filter, data: bytes, cuts: list[int]) -> bytes:
    result, begin = b"", 0
    for cut in sorted(cut % (len(data) + 1) for cut in cuts):
        result += found.feed(data[begin:cut])
        begin = cut
    return result + found.feed(data[begin:]) + found.finish()


cuts = st.lists(st.integers(0, 200), max_size=8)


@settings(deadline=None, max_examples=133)
@given(texts, cuts)
def test_sequences_are_taken_out_whatever_the_pieces(data: bytes, where: list[int]):
    assert run(StripAnsi(), data, where) == stripped(data)
    assert run(StripAnsi(), data, list(range(len(data)))) == stripped(data)


@settings(deadline=None, max_examples=133)
@given(texts, cuts)
def test_what_is_left_of_lines_is_what_a_terminal_shows_whatever_the_pieces(data, where):
    assert run(CollapseCarriageReturns(), data, where) == collapsed(data)
    assert run(CollapseCarriageReturns(), data, list(range(len(data)))) == collapsed(data)


@settings(deadline=None, max_examples=100)
@given(texts, cuts)
def test_both_together_know_what_was_erased_and_leave_no_sequence(data, where):
    both = run(Chain(filters(strips_ansi=True, collapses_cr=True)), data, where)
    expected = collapsed(stripped(data, keeping_erasures=True))
    for kept in (b"\x1b[K", b"\x1b[0K", b"\x1b[1K", b"\x1b[2K"):
        expected = expected.replace(kept, b"")
    assert both == expected
    assert b"\x1b" not in both
    assert b"\r" not in both


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from([b"\r", b"\x1b[31m", b"\x1b[K", b"wide" * 5000, b"x" * 66_000, b"1%", b"\n", "é".encode()]), max_size=14).map(b"".join), cuts)  # fmt: skip
def test_lines_beyond_the_bound_don_t_depend_on_the_pieces_either(data, where):
    spread = [cut * 1009 for cut in where]
    whole = run(CollapseCarriageReturns(), data, [])
    assert run(CollapseCarriageReturns(), data, spread) == whole
    assert b"\r" not in whole


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        (b"10%\r20%\r100%\n", b"100%\n"),
        (b"a long line\rshort\n", b"shortg line\n"),
        (b"a long line\r\x1b[Kshort\n", b"short\n"),
        (b"\x1b[32m50%\x1b[0m\r\x1b[2K\x1b[32m60%\x1b[0m", b"60%"),
        ("zürich\rbäh\n".encode(), "bähich\n".encode()),
        (b"one\r\ntwo\r\r\n", b"one\ntwo\n"),
        (b"done\r", b"done"),
    ],
)
def test_progress_bars(given_: bytes, left: bytes):
    assert run(Chain(filters(strips_ansi=True, collapses_cr=True)), given_, [3]) == left


def test_a_string_that_never_ends_costs_no_memory_and_one_line():
    found = StripAnsi()
    assert found.feed(b"before\x1b]52;c;") == b"before"
    for _ in range(100):
        assert found.feed(b"x" * 100_000) == b""
    assert len(found._open) < 4
    assert found.feed(b"\nafter") == b"\nafter"


def test_a_line_that_never_ends_is_held_within_bounds():
    found = CollapseCarriageReturns()
    for step in range(20_000):
        found.feed(b"%9d%% of it\r" % step)
        assert len(found._line) <= 2 * 64 * 1024
    assert found.feed(b"done\n") == b"done19999% of it\n"


@pytest.mark.parametrize("data", [b"\x1b[" * 100_000, b"\x1b]" * 100_000, b"\x1b[1" * 50_000, b"\r" * 200_000, b"\x9b" * 100_000, b"a\r\x1b[K" * 40_000])  # fmt: skip
def test_no_input_takes_more_than_linear_time(data: bytes):
    begin = time.process_time()
    for found in (StripAnsi(), CollapseCarriageReturns()):
        found.feed(data)
        found.finish()
    assert time.process_time() - begin < 5  # quadratic: minutes
