"""Colours and attributes of a terminal: what the escape sequences in a text come to. No I/O.

Only SGR (`ESC [ ... m`) and the full reset (`ESC c`) change a style. Every parameter assigns a
field, so that sequences which were applied already may be applied again, in their order.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_SEQUENCE_BYTES", "PLAIN", "STYLE_BYTES", "Style", "after"]

MAX_SEQUENCE_BYTES: Final = 128
"""Longer ones are taken for text; a style needs half of that."""

_PACKED: Final = struct.Struct("<4I")
STYLE_BYTES: Final = _PACKED.size

_SEQUENCE: Final = re.compile(rb"\x1b\[[0-;]*m")

# A colour is 0, the default; or one of 256; or red, green and blue.
_INDEXED: Final = 1 << 24
_RGB: Final = 2 << 24

# Which bit each parameter sets, and those that one clears.
_SETS: Final = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 16, 7: 32, 8: 64, 9: 128, 21: 256, 53: 512}
_CLEARS: Final = {22: 3, 23: 4, 24: 264, 25: 16, 27: 32, 28: 64, 29: 128, 55: 512}
_SHOWN: Final = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 7: 32, 8: 64, 9: 128, 21: 256, 53: 512}


class Style(NamedTuple):
    """How what follows is shown."""

    flags: int = 0
    foreground: int = 0
    background: int = 0
    underline: int = 0

    def sequence(self) -> str:
        """The one escape sequence that leads to it from a plain style; none for that itself."""
        found = [str(code) for code, bit in _SHOWN.items() if self.flags & bit]
        found += _colour(self.foreground, 30, 90, 38)
        found += _colour(self.background, 40, 100, 48)
        found += _colour(self.underline, None, None, 58)
        return f"\x1b[{';'.join(found)}m" if found else ""

    def pack(self) -> bytes:
        """In `STYLE_BYTES`."""
        return _PACKED.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes) -> Style:
        """From those."""
        return cls(*_PACKED.unpack(raw))


PLAIN: Final = Style()


def after(style: Style, data: bytes) -> Style:
    """What `style` becomes by the sequences that are in `data` as a whole."""
    if b"\x1b" not in data:
        return style
    # Most logs reset what they set: only what is behind the last reset counts.
    reset = data.rfind(b"\x1b[0m")
    reset = max(reset, data.rfind(b"\x1b[m", reset + 1))
    reset = max(reset, data.rfind(b"\x1bc", reset + 1))
    if reset >= 0:
        style, data = PLAIN, data[reset:]
    # They assign, so of equal ones only the last counts; there are few that differ.
    for sequence in reversed(dict.fromkeys(reversed(_SEQUENCE.findall(data)))):
        if len(sequence) <= MAX_SEQUENCE_BYTES:
            style = _changed(style, sequence)
    return style


@lru_cache(maxsize=4096)
def _changed(style: Style, sequence: bytes) -> Style:
    given = iter(sequence[2:-1].decode("ascii").split(";"))
    for each in given:
        if ":" in each:
            style = _with_parts(style, [int(part or 0) for part in each.split(":")])
        else:
            style = _with(style, int(each or 0), given)
    return style


def _with_parts(style: Style, parts: list[int]) -> Style:
    code, *rest = parts
    if code == 4:
        flags = style.flags & ~_CLEARS[24]
        return style._replace(flags=flags | (0, 8, 256, 8, 8, 8)[min(rest[0], 5)])
    if code in (38, 48, 58):
        if rest[0] == 5 and len(rest) > 1:
            return _coloured(style, code, _INDEXED | rest[1] & 255)
        if rest[0] == 2 and len(rest) > 3:
            red, green, blue = rest[2:5] if len(rest) > 4 else rest[1:4]
            return _coloured(style, code, _rgb(red, green, blue))
    return style


def _with(style: Style, code: int, rest: Iterator[str]) -> Style:
    if code == 0:
        return PLAIN
    if code in _SETS:
        return style._replace(flags=style.flags | _SETS[code])
    if code in _CLEARS:
        return style._replace(flags=style.flags & ~_CLEARS[code])
    if 30 <= code <= 37 or 90 <= code <= 97:
        index = code - 30 if code < 90 else code - 82
        return style._replace(foreground=_INDEXED | index)
    if 40 <= code <= 47 or 100 <= code <= 107:
        index = code - 40 if code < 100 else code - 92
        return style._replace(background=_INDEXED | index)
    if code in (38, 48, 58):
        return _coloured(style, code, _next_colour(rest))
    if code in (39, 49, 59):
        return _coloured(style, code - 1, 0)
    return style


def _next_colour(rest: Iterator[str]) -> int | None:
    def number() -> int:
        text = next(rest, "0")
        return int(text) if text.isdigit() else 0

    kind = number()
    if kind == 5:
        return _INDEXED | number() & 255
    if kind == 2:
        return _rgb(number(), number(), number())
    return None


def _rgb(red: int, green: int, blue: int) -> int:
    return _RGB | min(red, 255) << 16 | min(green, 255) << 8 | min(blue, 255)


def _coloured(style: Style, code: int, colour: int | None) -> Style:
    if colour is None:
        return style
    match code:
        case 38:
            return style._replace(foreground=colour)
        case 48:
            return style._replace(background=colour)
        case _:
            return style._replace(underline=colour)


def _colour(colour: int, low: int | None, high: int | None, code: int) -> list[str]:
    if not colour:
        return []
    value = colour & 0xFFFFFF
    if colour & _RGB:
        return [f"{code};2;{value >> 16};{value >> 8 & 255};{value & 255}"]
    if low is not None and value < 8:
        return [str(low + value)]
    if high is not None and value < 16:
        return [str(high + value - 8)]
    return [f"{code};5;{value}"]
