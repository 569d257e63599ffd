"""Whose rows are: the stream, the command and the time of the first byte of each."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from service.output.index import Record
    from service.output.lines.kept_log import KeptLog
    from service.output.lines.rows import Row
    from service.output.reader import LogReader
    from service.output.records import Records

__all__ = ["owners"]

_RECORDS: Final = 1024
"""That are read at once: rows that follow each other are of records that do."""


def owners(
    reader: LogReader, records: Records, log: KeptLog, rows: Iterable[Row]
) -> Iterator[Record]:
    """The record of each row's first byte.

    Raises:
        CorruptLog: there is none.
    """
    found: list[Record] = []
    offsets: list[int] = []
    for row in rows:
        offset = log.offset(row.begin)
        if not offsets or not offsets[0] <= offset < offsets[-1]:
            side = next(each for each in records.sides if offset < each.end)
            first = records.at(side, offset)
            count = min(_RECORDS, side.last - first)
            found = reader.records(first, count)
            offsets = [record.offset for record in found]
            offsets.append(side.end if first + count >= side.last else offsets.pop())
        yield found[max(0, bisect_right(offsets, offset) - 1)]
