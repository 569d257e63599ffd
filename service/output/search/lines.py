"""Which lines match, and those around them: bytes in, lines out, no I/O.

Many lines are given to the pattern at once, so that what doesn't match costs the engine's time and
nothing else. A line of more than 64 KiB is searched in pieces of that size, each as a line; what is
on one side of a gap is no part of a line on the other.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from service.output.sequences import split_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.output.filters.filter import Filter
    from service.output.search.pattern import Pattern

__all__ = ["MAX_LINE_BYTES", "Line", "LineSearch"]

MAX_LINE_BYTES: Final = 64 * 1024
_LF: Final = 10


class Line(NamedTuple):
    """A line of the answer.

    Attributes:
        number: from 1; the pieces of a long line have one.
        offset: of its first byte.
        text: with its end; where it has none, it is partial.
        matches: False for one that stands around.
        follows: the line before it in the answer is the one before it in the log.
    """

    number: int
    offset: int
    text: bytes
    matches: bool
    follows: bool


class _Lines(NamedTuple):
    """Lines that follow each other. The first begins at `first`; others, as far as they are behind
    `known` bytes, at `place` and their distance from that.
    """

    text: bytes
    first: int
    known: int
    place: int

    def offset(self, begin: int) -> int:
        return self.first + begin if begin < self.known else self.place + begin - self.known

    def part(self, begin: int, end: int) -> _Lines:
        if begin < self.known:
            return _Lines(self.text[begin:end], self.first + begin, self.known - begin, self.place)
        place = self.offset(begin)
        return _Lines(self.text[begin:end], place, 0, place)


class _Rewritten:
    """What a filter has made of `lines`: as many, at the same places of the log."""

    __slots__ = ("_begin", "_lines", "_place", "text")

    def __init__(self, text: bytes, lines: _Lines) -> None:
        self.text = text
        self._lines = lines
        self._begin = self._place = 0  # where a line begins here, and there

    def offset(self, begin: int) -> int:
        """Of the line that begins at `begin`, which is no smaller than the one before."""
        there = self._lines.text
        for _ in range(self.text.count(b"\n", self._begin, begin)):
            self._place = there.find(b"\n", self._place) + 1
        self._begin = begin
        return self._lines.offset(self._place)


class LineSearch:
    """Searches what it is fed.

    Attributes:
        count: lines that match, so far.
    """

    __slots__ = (
        "_after",
        "_before",
        "_context",
        "_filter",
        "_found",
        "_inverts",
        "_max",
        "_number",
        "_numbers",
        "_pattern",
        "_rest",
        "_rest_at",
        "_told",
        "count",
    )

    def __init__(
        self,
        pattern: Pattern,
        *,
        inverts: bool = False,
        context: int = 0,
        most: int | None = None,
        numbers: bool = True,
        rewriting: Filter | None = None,
    ) -> None:
        """`inverts`: a line matches when the pattern doesn't. `context`: lines before and behind.
        `most`: matching lines that are told of; all are counted. `numbers`: those of the lines
        are wanted; else they are anything, which takes half of the time. `rewriting`: what is
        done to a line before it is searched.
        """
        self._pattern = pattern
        self._inverts = inverts
        self._context = context
        self._max = math.inf if most is None else most
        self._numbers = numbers or context > 0
        self._filter = rewriting
        self._rest = b""
        self._rest_at = 0
        self._number = 1  # of the next line
        self._told: int | None = None  # the number of the last line of the answer
        self._after = 0  # lines that still stand around the last match
        self._before: deque[Line] = deque(maxlen=context)
        self._found: list[Line] = []
        self.count = 0

    @property
    def is_full(self) -> bool:
        """No line will be told of any more."""
        return self.count >= self._max and not self._after

    def feed(self, data: bytes, offset: int) -> list[Line]:
        """What is found once `data` has come, which begins at `offset`."""
        known = len(self._rest)
        if not known:
            self._rest_at = offset
        text = self._rest + data
        self._rest = b""
        lines = _Lines(text, self._rest_at, known, offset)
        end = 0
        for begin, end, is_cut in _segments(text):
            self._search(lines.part(begin, end))
            if is_cut:
                self._number -= 1  # the next piece is of the same line
        self._rest = text[end:]
        self._rest_at = lines.offset(end)
        return self._take()

    def break_off(self) -> list[Line]:
        """What is found when nothing follows, or something is missing there: the line is over."""
        if self._rest:
            self._search(_Lines(self._rest, self._rest_at, len(self._rest), 0))
            self._rest = b""
        self._before.clear()
        self._after = 0
        self._told = -1  # none follows it
        return self._take()

    def _take(self) -> list[Line]:
        found, self._found = self._found, []
        return found

    def _search(self, lines: _Lines | _Rewritten) -> None:
        if self._filter is not None and isinstance(lines, _Lines) and _is_marked(lines.text):
            # As each line would be: a filter keeps nothing over the end of one.
            text = self._filter.feed(lines.text) + self._filter.finish()
            lines = _Rewritten(text, lines)
            if not text:  # but it is a line
                self._one(lines, 0, 0, hit=self._pattern.search(text, 0) is not None)
        if self._pattern.takes_many:
            self._all_at_once(lines)
            return
        for begin, end in _ends(lines.text, 0, len(lines.text)):
            text = lines.text[begin:end]
            content = text[:-2] if text.endswith(b"\r\n") else text.removesuffix(b"\n")
            self._one(lines, begin, end, hit=self._pattern.search(content, 0) is not None)

    def _all_at_once(self, lines: _Lines | _Rewritten) -> None:
        text, search = lines.text, self._pattern.search
        # CR and LF are one end: `$` stands before both. In the copy there is an empty line between
        # them, in which nothing counts.
        # One byte is searched for fifty times as fast as two.
        copy = text.replace(b"\r\n", b"\n\n") if b"\r" in text and b"\r\n" in text else text
        begin = place = 0
        size = len(text)
        while place < size and (match := search(copy, place)) is not None:
            start = match.start()
            newline = text.find(b"\n", start)
            if newline < 0 and text.endswith(b"\n"):
                break
            place = size if newline < 0 else newline + 1
            if copy is not text and start == newline and text[:start].endswith(b"\r"):
                continue
            first = text.rfind(b"\n", begin, start) + 1 or begin
            self._others(lines, begin, first)
            self._one(lines, first, place, hit=True)
            begin = place
        self._others(lines, begin, size)

    def _others(self, lines: _Lines | _Rewritten, begin: int, end: int) -> None:
        """Lines in which nothing was found."""
        text = lines.text
        if not self._inverts:
            while self._after and begin < end:
                newline = text.find(b"\n", begin, end)
                behind = end if newline < 0 else newline + 1
                self._one(lines, begin, behind, hit=False)
                begin = behind
            if not self._numbers:
                return
            kept = self._beginning_of_last(text, begin, end)
            self._number += text.count(b"\n", begin, kept)
            if begin < kept == end and text[end - 1] != _LF:
                self._number += 1
            begin = kept
        for first, behind in _ends(text, begin, end):
            self._one(lines, first, behind, hit=False)

    def _beginning_of_last(self, text: bytes, begin: int, end: int) -> int:
        """Where the lines begin that may stand before a match."""
        place = end
        for _ in range(self._context):
            if place <= begin:
                break
            place = text.rfind(b"\n", begin, place - 1) + 1 or begin
        return place

    def _one(self, lines: _Lines | _Rewritten, begin: int, end: int, *, hit: bool) -> None:
        number, self._number = self._number, self._number + 1
        matches = hit != self._inverts
        self.count += matches
        if self.count > self._max if matches else not (self._after or self._context):
            return  # nobody is told of it
        line = Line(number, lines.offset(begin), lines.text[begin:end], matches, follows=False)
        if matches:
            for before in self._before:
                self._tell(before)
            self._before.clear()
            self._tell(line)
            self._after = self._context
        elif self._after:
            self._tell(line)
            self._after -= 1
        elif self._context:
            self._before.append(line)

    def _tell(self, line: Line) -> None:
        follows = self._told is None or 0 <= line.number - self._told <= 1
        self._told = line.number
        self._found.append(line._replace(follows=follows))


def _segments(text: bytes) -> Iterator[tuple[int, int, bool]]:
    """Whole lines, from one place to another, and pieces of lines that are too long."""
    begin = place = 0
    size = len(text)
    # Three bytes more: a cut is never inside a sequence of UTF-8.
    while size - place > MAX_LINE_BYTES + 3:
        newline = text.rfind(b"\n", place, place + MAX_LINE_BYTES + 4)
        if newline >= 0:
            place = newline + 1
            continue
        if place > begin:
            yield begin, place, False
        cut = place + MAX_LINE_BYTES
        cut -= split_sequence(text[cut - 4 : cut + 4], 4)[0]
        yield place, cut, True
        begin = place = cut
    end = text.rfind(b"\n", place) + 1 or place
    if end > begin:
        yield begin, end, False


def _ends(text: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Each line, from where to before where."""
    while begin < end:
        newline = text.find(b"\n", begin, end)
        behind = end if newline < 0 else newline + 1
        yield begin, behind
        begin = behind


def _is_marked(text: bytes) -> bool:
    """Whether a filter may change it."""
    if any(mark in text for mark in (b"\x1b", b"\r", b"\x0e", b"\x0f")):
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False
