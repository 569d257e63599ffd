r"""Of text that was overwritten by `\r` only what was left: the last state of a progress bar.

1. A line is what a terminal shows of it: text behind a `\r` lies over what stood there, a character
   in a place, and a longer text before it still shows behind it. No `\r` is left; `\r\n` is `\n`.
2. In a line with a `\r` the sequences that erase in a line (`CSI K`) do so, and other CSI sequences
   take no place. All others are taken for text: take them out before.
3. A line is held back until it ends. Of one that grows beyond 64 Ki characters, what has come is
   written out in pieces that no later `\r` reaches.
"""

from __future__ import annotations

import re
from typing import Final

from service.output.filters.ansi import ERASURES
from service.output.filters.filter import TextDecoder, encoded

__all__ = ["CollapseCarriageReturns"]

_MAX_CHARACTERS: Final = 64 * 1024
_MAX_CSI: Final = 64
_ERASED: Final = "\udfff"  # in no decoded text
_TOKENS: Final = re.compile(rf"\r|\x1b\[[ -?]{{0,{_MAX_CSI}}}[@-~]|[^\r\x1b]+|\x1b")
_OPEN_CSI: Final = re.compile(rf"\x1b(?:\[[ -?]{{0,{_MAX_CSI}}})?\Z")


class CollapseCarriageReturns:
    """Collapses each line. `drops_erasures`: those that are left are taken out."""

    __slots__ = ("_decoder", "_drops_erasures", "_line")

    def __init__(self, *, drops_erasures: bool = False) -> None:
        self._drops_erasures = drops_erasures
        self._decoder = TextDecoder()
        self._line = ""

    def feed(self, data: bytes) -> bytes:
        """What is known of the result, once `data` has come."""
        return self._result(self._collapse(self._decoder.decode(data)))

    def finish(self) -> bytes:
        """The rest of it."""
        text = self._collapse(self._decoder.decode(b"", is_last=True))
        line, self._line = self._line, ""
        return self._result(text + _left_of(line))

    def _result(self, text: str) -> bytes:
        if self._drops_erasures and "\x1b" in text:
            text = ERASURES.sub("", text)
        return encoded(text)

    def _collapse(self, text: str) -> str:
        head, newline, rest = text.partition("\n")
        self._line += head
        if not newline:
            return self._beyond()
        body, newline, last = rest.rpartition("\n")
        found = self._rest_of_line() + "\n"
        if newline:
            found += self._whole(body) + "\n"
        self._line = last
        return found + self._beyond()

    def _rest_of_line(self) -> str:
        found = self._beyond() + _left_of(self._line)
        self._line = ""
        return found

    def _whole(self, lines: str) -> str:
        if "\r" not in lines:
            return lines
        lines = lines.replace("\r\n", "\n")
        if "\r" not in lines:
            return lines
        found = lines.split("\n")
        for number, line in enumerate(found):
            if "\r" in line:
                self._line = line
                found[number] = self._rest_of_line()
        return "\n".join(found)

    def _beyond(self) -> str:
        """What no later text can reach, of a line that has grown too long. The places of its cuts
        don't depend on how the line came in.
        """
        found = ""
        while len(self._line) > _MAX_CHARACTERS:
            cut = _MAX_CHARACTERS
            if csi := _OPEN_CSI.search(self._line, cut - _MAX_CSI - 2, cut):
                cut = csi.start()
            piece, rest = self._line[:cut], self._line[cut:]
            if "\r" in piece:
                screen = _Screen(piece)
                piece, kept = str(screen), screen.as_text()
                if len(kept) <= _MAX_CHARACTERS // 2:
                    self._line = kept + rest
                    continue
            found += piece
            self._line = rest
        return found


class _Screen:
    """What a terminal shows of a line: a character in each place, with the sequences before it."""

    __slots__ = ("_cells", "_cursor", "_sequences")

    def __init__(self, line: str) -> None:
        self._cells: list[str] = []
        self._cursor = 0
        self._sequences = ""  # in front of the next character
        for part in _TOKENS.findall(line):
            if part == "\r":
                self._cursor = 0
            elif len(part) > 1 and part[0] == "\x1b":
                self._sequence(part)
            else:
                self._write(part)

    def __str__(self) -> str:
        return self._text(len(self._cells)).rstrip(_ERASED).replace(_ERASED, " ") + self._sequences

    def as_text(self) -> str:
        """A line of which this screen is what is left, with the cursor at the same place."""
        under = self._text(self._cursor).replace(_ERASED, " ")
        return f"{str(self).removesuffix(self._sequences)}\r{under}{self._sequences}"

    def _text(self, end: int) -> str:
        return "".join(self._cells[:end])

    def _write(self, text: str) -> None:
        characters = list(text)
        characters[0] = self._sequences + characters[0]
        self._sequences = ""
        end = self._cursor + len(characters)
        self._cells[self._cursor : end] = characters
        self._cursor = end

    def _sequence(self, csi: str) -> None:
        if not ERASURES.fullmatch(csi):
            self._sequences += csi
            return
        cells, cursor = self._cells, self._cursor
        what = csi[2:-1]
        if what == "2":
            cells[:] = [_ERASED] * cursor
        elif what == "1":
            erased = min(cursor + 1, len(cells))
            cells[:erased] = [_ERASED] * erased
        else:
            del cells[cursor:]


def _left_of(line: str) -> str:
    line = line.rstrip("\r")
    if "\r" not in line:
        return line
    if "\x1b[" in line:
        return str(_Screen(line))
    shown = ""
    for over in reversed(line.split("\r")):
        shown += over[len(shown) :]
    return shown
