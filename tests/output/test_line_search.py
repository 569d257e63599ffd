"""The search for lines against Python's own `re`, one line at a time."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from service.errors import BadQuery
from service.output.filters.filter import Chain
from service.output.filters.rewriting import filters
from service.output.search.lines import MAX_LINE_BYTES, Line, LineSearch
from service.output.search.pattern import compiled

pytestmark = pytest.mark.once

PATTERNS = ["a", "^a", "b$", "^$", "$", "a.b", "a|b", r"\Aa", r"b\z", "[^a]", r"\s", r"\W", "x*", "é", ".", r"a\nb", "(?s)a.b", "(?-m)^a", r"(?i)A", r"\bab\b", r"\B"]  # fmt: skip
texts = st.lists(
    st.sampled_from([b"a", b"b", b"ab", b"\n", b"\r\n", b"\r", b"a\nb", b" ", "é".encode(), b"\xff", b"axb", b"\n\n"]),
    max_size=30,
).map(b"".join)  # fmt: skip
cuts = st.lists(st.integers(0, 60), max_size=6)


def search(text: bytes, where: list[int], pattern: str, **options) -> tuple[list[Line], int]:
    found = LineSearch(compiled(pattern), **options)
    lines, begin = [], 0
    for cut in sorted(cut % (len(text) + 1) for cut in where):
        lines += found.feed(text[begin:cut], 100 + begin)
        begin = cut
    lines += found.feed(text[begin:], 100 + begin)
    return lines + found.break_off(), found.count


def reference(text: bytes, pattern: str, *, inverts=False, context=0, most=None) -> list[tuple]:
    # In Python: `\Z` is RE2's `\z`; a byte that is no character is matched by nothing.
    own = re.compile(pattern.replace(r"\z", r"\Z").replace("(?-m)", ""), re.ASCII)
    lines = text.split(b"\n")
    lines = [line + b"\n" for line in lines[:-1]] + [lines[-1]] * bool(lines[-1])
    hits = []
    offset = 100
    table = []
    for number, line in enumerate(lines):
        content = line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
        content = content.decode("utf-8", "surrogateescape")
        if (found_in(own, content) is not None) != inverts:
            hits.append(number)
        table.append((number + 1, offset, line))
        offset += len(line)
    shown = hits if most is None else hits[:most]
    around = {n for hit in shown for n in range(hit - context, hit + context + 1)}
    rest = set(hits) - set(shown)
    return [
        (*table[n], n in shown)
        for n in sorted(around)
        if 0 <= n < len(lines) and (n in shown or n not in rest)
    ], len(hits)


def found_in(own: re.Pattern[str], content: str) -> re.Match[str] | None:
    if own.pattern == r"\B" and not content:
        return re.match("", content)  # Python before 3.14 doesn't find it in an empty string
    for match in own.finditer(content):
        if not any("\udc80" <= char <= "\udcff" for char in match.group()):
            return match
    return None


@settings(deadline=None, max_examples=150)
@given(texts, cuts, st.sampled_from(PATTERNS), st.booleans(), st.integers(0, 3))
@example(text=b"\r", where=[], pattern="^$", inverts=False, context=0)
@example(text=b"\n", where=[], pattern=r"\B", inverts=False, context=0)
@example(text=b"\r", where=[], pattern=r"\Aa|^$", inverts=False, context=0)
def test_the_lines_are_those_that_re_finds_whatever_the_pieces(
    text, where, pattern, inverts, context
):
    if pattern in (r"\B", "[^a]", r"\W", r"\bab\b") and b"\xff" in text:
        return  # of a byte that is no character the engines think differently
    lines, count = search(text, where, pattern, inverts=inverts, context=context)
    expected, hits = reference(text, pattern, inverts=inverts, context=context)
    assert [(x.number, x.offset, x.text, x.matches) for x in lines] == expected
    assert count == hits
    for before, line in pairwise(lines):
        assert line.follows == (line.number == before.number + 1)


@settings(deadline=None, max_examples=100)
@given(texts, cuts, st.integers(1, 3), st.integers(0, 2))
def test_all_lines_are_counted_and_so_many_told(text, where, most, context):
    lines, count = search(text, where, "a", most=most, context=context)
    expected, hits = reference(text, "a", context=context, most=most)
    assert count == hits
    assert [line.text for line in lines if line.matches] == [
        found[2] for found in expected if found[3]
    ]


@pytest.mark.parametrize(
    "size", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 3, MAX_LINE_BYTES + 4, 200_000]
)
@pytest.mark.parametrize("step", [1000, 65_537, 1 << 20])
def test_a_long_line_is_searched_in_pieces_that_have_one_number(size: int, step: int):
    text = b"first\n" + b"x" * size + b"\nlast\n"
    lines, count = search(text, list(range(0, len(text), step)), ".")
    assert b"".join(line.text for line in lines) == text
    assert [line.number for line in lines] == [1, *[2] * (len(lines) - 2), 3]
    assert max(len(line.text) for line in lines) <= MAX_LINE_BYTES + 4
    assert count == len(lines) == (3 if size <= MAX_LINE_BYTES + 3 else 3 + size // MAX_LINE_BYTES)
    assert [line.offset - 100 for line in lines] == [text.index(b"first"), *range(6, 6 + size, MAX_LINE_BYTES)][: len(lines) - 1] + [len(text) - 5]  # fmt: skip


def test_a_gap_ends_a_line_and_what_stands_around_a_match():
    found = LineSearch(compiled("a"), context=1)
    lines = found.feed(b"x\nbefore a", 0) + found.break_off() + found.feed(b"behind\na\n", 50)
    lines += found.break_off()
    assert [(line.number, line.offset, line.text, line.follows) for line in lines] == [
        (1, 0, b"x\n", True),
        (2, 2, b"before a", True),
        (3, 50, b"behind\n", False),
        (4, 57, b"a\n", True),
    ]


def test_what_is_rewritten_is_searched_as_it_is_shown():
    rewriting = Chain(filters(strips_ansi=True, collapses_cr=True))
    text = b"\x1b[31merror\x1b[0m: one\n10%\r99% done\nplain error: two\n"
    lines, count = search(text, [20], "^error: |^99%", rewriting=rewriting)
    assert [(line.offset - 100, line.text) for line in lines] == [
        (0, b"error: one\n"),
        (20, b"99% done\n"),
    ]
    assert count == 2


torn = st.lists(
    st.sampled_from([b"a", b"b", b"\n", b"\r\n", b"\r", b"\x1b", b"\x1b[1m", b"\x1b[", b"3", b"m", b"\x1b[K", b"\x1b]0;t\x07", b"\x0e", "é".encode(), b"\xff"]),
    max_size=40,
).map(b"".join)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(torn, cuts, st.sampled_from(["a", "^a", "^$", r"\Aa"]), st.booleans(), st.integers(0, 2), st.sampled_from([(True, False), (False, True), (True, True)]))  # fmt: skip
def test_lines_that_are_rewritten_are_those_that_are_rewritten_one_by_one(
    text, where, pattern, inverts, context, kinds
):
    strips_ansi, collapses_cr = kinds
    kept = filters(strips_ansi=strips_ansi, collapses_cr=collapses_cr)
    lines, count = search(
        text, where, pattern, inverts=inverts, context=context, rewriting=Chain(kept)
    )
    own, places, at = Chain(kept), [], 100
    for line in re.findall(rb"[^\n]*\n|[^\n]+", text):
        places.append((own.feed(line) + own.finish(), at))
        at += len(line)
    assume(all(shown for shown, _ in places))  # an unterminated one may be nothing but sequences
    whole = b"".join(shown for shown, _ in places)
    expected, hits = reference(whole, pattern, inverts=inverts, context=context)
    found = [(line.number, line.text, line.matches) for line in lines]
    assert found == [(number, shown, matches) for number, _, shown, matches in expected]
    assert [line.offset for line in lines] == [places[line.number - 1][1] for line in lines]
    assert count == hits


def test_a_line_of_nothing_but_sequences_is_an_empty_one():
    rewriting = Chain(filters(strips_ansi=True, collapses_cr=False))
    lines, count = search(b"a\n\x1b[0m", [], "^$", rewriting=rewriting)
    assert ([(line.number, line.offset, line.text) for line in lines], count) == (
        [(2, 102, b"")],
        1,
    )


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "missing ): ( (the syntax"),
        ("[a", "missing ]: [a"),
        ("a)|(b", "unexpected ): a)|(b"),
        ("*", "no argument for repetition operator: *"),
        ("(?=x)", "look-around"),
        (r"(a)\1", "back-references"),
        ("((a{100}){100}){100}", ""),
        ("a" * 1001, "at most 1000 characters, got 1001"),
    ],
)
def test_a_wrong_pattern_is_told_why(pattern: str, why: str):
    with pytest.raises(BadQuery, match="'grep'") as caught:
        compiled(pattern)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|aa)+$", "(x+x+)+y", "(.*)*c", "a{0,500}a{0,500}b"]
)
def test_a_pattern_that_backtracks_for_ever_elsewhere_costs_milliseconds(pattern: str):
    begin = time.process_time()
    search(b"a" * 30_000 + b"!\n", [], pattern)
    assert time.process_time() - begin < 2  # `re` would take longer than the universe
