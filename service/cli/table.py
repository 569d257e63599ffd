"""Lists for people: columns side by side, as wide as the terminal."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import click

from service.cli.notes import has_colours
from service.host.escaping import escaped

_GAP: Final = "  "
_CUT: Final = "…"


class Column(NamedTuple):
    """`least`: characters to which it is cut where the terminal is narrow; None: never."""

    title: str
    least: int | None = None


class Cell(NamedTuple):
    """A text, and the colour that it has where there are any."""

    text: str
    colour: str | None = None


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, wide: bool = False
) -> None:
    """A head, and a line for each row. The last columns are cut first, unless it may be `wide`."""
    lines = [[Cell(column.title) for column in columns]]
    lines += [[Cell(escaped(cell.text), cell.colour) for cell in row] for row in rows]
    widths = [max(map(_width, (line[i].text for line in lines))) for i in range(len(columns))]
    over = sum(widths) + len(_GAP) * (len(columns) - 1) - shutil.get_terminal_size().columns
    for number, column in reversed(list(enumerate(columns))):
        if over > 0 and column.least is not None and not wide:
            spare = max(0, min(over, widths[number] - max(column.least, len(column.title))))
            widths[number] -= spare
            over -= spare
    coloured = has_colours(sys.stdout)
    for line in lines:
        cells = (_drawn(c, w, coloured=coloured) for c, w in zip(line, widths, strict=True))
        print(_GAP.join(cells).rstrip())


class Lines:
    """A table whose lines are printed as they come: `least` of a column is its width, the last one
    has the rest.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._cuts = [column.least is not None for column in columns]
        self._widths = [max(column.least or 0, len(column.title)) for column in columns]
        before = sum(self._widths[:-1]) + len(_GAP) * (len(columns) - 1)
        self._widths[-1] = max(self._widths[-1], shutil.get_terminal_size().columns - before)
        self._coloured = has_colours(sys.stdout)
        self.print([Cell(column.title) for column in columns])

    def print(self, cells: Sequence[Cell]) -> None:
        """A line, at once."""
        drawn = []
        for cell, width, is_cut in zip(cells, self._widths, self._cuts, strict=True):
            text = escaped(cell.text)
            room = width if is_cut else max(width, len(text))
            drawn.append(_drawn(Cell(text, cell.colour), room, coloured=self._coloured))
        print(_GAP.join(drawn).rstrip(), flush=True)


def print_pairs(pairs: Iterable[tuple[str, Cell]]) -> None:
    """A line for each: a title, and what it has. Nothing is cut."""
    lines = [(title, Cell(escaped(cell.text), cell.colour)) for title, cell in pairs]
    width = max((_width(title) for title, _ in lines), default=0)
    coloured = has_colours(sys.stdout)
    for title, cell in lines:
        text = _drawn(cell, _width(cell.text), coloured=coloured)
        print(f"{title.ljust(width)}{_GAP}{text}".rstrip())


def _drawn(cell: Cell, width: int, *, coloured: bool) -> str:
    text = cell.text
    if _width(text) > width:
        while _width(text) > width - 1:
            text = text[:-1]
        text += _CUT
    padding = " " * (width - _width(text))
    return (click.style(text, fg=cell.colour) if coloured and cell.colour else text) + padding


def _width(text: str) -> int:
    """Columns of a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)
