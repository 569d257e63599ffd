"""Lists for people: columns side by side, as wide as the terminal."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import click

from service.cli.notes import has_colours
from service.host.escaping import escaped

_GAP: Final = "  "
_CUT: Final = "…"


@dataclass(frozen=True, slots=True)
class Column:
    """`least`: characters to which it is cut where the terminal is narrow; None: never."""

    title: str
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and the colour that it has where there are any."""

    text: str
    colour: str | None = None


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """A head, and a line for each row. The last columns are cut first."""
    lines = [[Cell(column.title) for column in columns]]
    lines += [[Cell(escaped(cell.text), cell.colour) for cell in row] for row in rows]
    widths = [max(map(_width, (line[i].text for line in lines))) for i in range(len(columns))]
    over = sum(widths) + len(_GAP) * (len(columns) - 1) - shutil.get_terminal_size().columns
    for number, column in reversed(list(enumerate(columns))):
        if over > 0 and column.least is not None:
            spare = max(0, min(over, widths[number] - max(column.least, len(column.title))))
            widths[number] -= spare
            over -= spare
    coloured = has_colours(sys.stdout)
    for line in lines:
        cells = (_drawn(c, w, coloured=coloured) for c, w in zip(line, widths, strict=True))
        print(_GAP.join(cells).rstrip())


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
