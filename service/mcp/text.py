r"""Bytes of output as text for a model, and how many of them fit a budget. No I/O.

Escape sequences are taken out, of what `\r` overwrote the last state is left, and characters that
nobody sees, or that display as another text, are written as JSON escapes.

Rules
1. Each line is rendered by itself, so bytes that are cut behind a newline are rendered as the whole
   would be: no sequence and no `\r` reaches beyond its line.
2. A byte becomes at most `MAX_GROWTH` bytes of text, so something fits any budget above that.
3. What is cut inside of a line isn't cut inside of a character or of an escape sequence, unless one
   is longer than all there is room for.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from service.host.escaping import escaped_lines
from service.output.filters.ansi import StripAnsi
from service.output.filters.filter import Chain
from service.output.filters.rewriting import filters

MAX_GROWTH: Final = 6
"""A control character of one byte is written as six: \\u0007."""

Behind: TypeAlias = Literal["more", "maybe", "nothing"]
"""What comes behind the bytes at hand: bytes that exist, bytes that may come, or none ever."""

# A sequence that begins here and isn't complete may be; a longer one is no sequence of a terminal.
_MAX_HELD: Final = 4096
_INTRODUCERS: Final = (b"\x1b", b"\x90", b"\x98", b"\x9b", b"\x9d", b"\x9e", b"\x9f")


def rendered(data: bytes) -> str:
    r"""The text.

    >>> rendered(b"10%\r100%\n\x1b[31mred\x1b[0m\x07 \xff\n")
    '100%\nred\\u0007 �\n'
    """
    chain = Chain(filters(strips_ansi=True, collapses_cr=True))
    whole = chain.feed(data) + chain.finish()
    return escaped_lines(whole.decode(errors="replace"))


def size(text: str) -> int:
    """Bytes of the text, as budgets count them."""
    return len(text.encode())


def fits(data: bytes, budget: int) -> bool:
    """Whether all of it does."""
    return size(rendered(data)) <= budget


def fitting(data: bytes, budget: int, behind: Behind) -> int:
    """How many of the first bytes to show: those whose text has at most `budget` bytes.

    They end with a line if more exists behind them, and if a line fits. 0: what there is isn't
    complete yet, or there is nothing.
    """
    if behind != "more" and fits(data, budget):
        return len(data) if behind == "nothing" else settled(data)
    return _lines(data, budget) or _inside(data, budget)


def settled(data: bytes) -> int:
    """Bytes before a character or an escape sequence at the end that may still be completed."""
    whole = _untorn(data)
    return whole if whole or len(data) <= _MAX_HELD else len(data)


def fitting_end(data: bytes, budget: int) -> int:
    """Where to begin, so that the text from there to the end has at most `budget` bytes: at a line,
    if one fits. The budget has room for any character.
    """
    if fits(data, budget):
        return 0
    starts = [place + 1 for place in _newlines(data) if place + 1 < len(data)]
    low, high = 0, len(starts)
    while low < high:  # the first start from where all fits
        middle = (low + high) // 2
        if fits(data[starts[middle] :], budget):
            high = middle
        else:
            low = middle + 1
    if low < len(starts):
        return starts[low]
    begin = max(0, len(data) - budget // MAX_GROWTH)
    inside = next((n for n in range(4) if data[begin + n] & 0xC0 != 0x80), 0)  # of a character
    return begin + inside


def _newlines(data: bytes) -> list[int]:
    found, place = [], data.find(b"\n")
    while place >= 0:
        found.append(place)
        place = data.find(b"\n", place + 1)
    return found


def _lines(data: bytes, budget: int) -> int:
    """Bytes of the first lines that fit: the more lines, the longer the text."""
    ends = [0, *(place + 1 for place in _newlines(data))]
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if fits(data[: ends[middle]], budget):
            low = middle
        else:
            high = middle - 1
    return ends[low]


def _inside(data: bytes, budget: int) -> int:
    """Bytes of the first line that fit, and at least one."""
    count = len(data)
    while count > 1 and not fits(data[:count], budget):
        count = max(1, min(count - 1, count * budget // size(rendered(data[:count]))))
    return _untorn(data[:count]) or count


def _untorn(data: bytes) -> int:
    """Bytes before a character or an escape sequence that isn't complete at the end."""
    place = len(data) - _part_of_character(data)
    if not _is_torn(data[:place]):
        return place
    while (place := max(data.rfind(each, 0, place) for each in _INTRODUCERS)) >= 0:
        if not _is_torn(data[:place]):
            return place
    return 0


def _is_torn(data: bytes) -> bool:
    """Whether an escape sequence is open at the end: it would swallow the letter."""
    strip = StripAnsi()
    return not (strip.feed(data[-_MAX_HELD:] + b"m") + strip.finish()).endswith(b"m")


def _part_of_character(data: bytes) -> int:
    """Bytes at the end that are the beginning of a character of UTF-8."""
    for count in range(1, min(3, len(data)) + 1):
        byte = data[-count]
        if byte & 0xC0 != 0x80:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC2 else 1
            return count if byte <= 0xF4 and needed > count else 0
    return 0
