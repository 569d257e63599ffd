"""Parts of a job's output, as text within a budget: pages, both ends, the last lines.

The service's own excerpt counts bytes before they are made safe to show; here the text is counted.
A page never repeats a byte of the one before it, and bytes that aren't shown are named.
"""

from __future__ import annotations

from typing import Final

import msgspec

from service.client.async_client import AsyncJob
from service.client.results import Gap
from service.mcp.answers import LeftOut, Piece
from service.mcp.text import Behind, fits, fitting, fitting_end, rendered, settled, size

# As in the service's excerpts: how a failure begins matters more than how it ends.
_HEAD_SHARE: Final = 0.6


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown. `end`: where to go on. `is_whole`: nothing of it was left to the next page."""

    pieces: list[Piece]
    left_out: list[LeftOut]
    end: int
    is_whole: bool


class _Bytes(msgspec.Struct, frozen=True, kw_only=True):
    """Stored output from `start` on. `is_cut`: more is stored behind it."""

    start: int
    data: bytes
    dropped: tuple[int, int] | None
    is_cut: bool

    @property
    def end(self) -> int:
        return self.start + len(self.data)


async def page(job: AsyncJob, offset: int, total: int, budget: int, *, is_final: bool) -> Page:
    """What is stored from `offset` to before `total`, as far as it fits.

    `is_final`: what stands before `total` is complete.
    """
    found = await _stored(job, offset, min(budget, total - offset))
    behind: Behind = "nothing" if is_final else "maybe"
    if found.is_cut or found.end < total:
        behind = "more"
    count = fitting(found.data, budget, behind)
    return Page(
        pieces=_pieces(found, 0, count),
        left_out=_left_out(found, offset, 0),
        end=found.start + count,
        is_whole=behind != "more" and fits(found.data, budget),
    )


async def both_ends(job: AsyncJob, total: int, budget: int, *, is_final: bool) -> Page:
    """What there is up to `total`: all of it if it fits, else its beginning and its end."""
    if total <= budget:
        whole = await page(job, 0, total, budget, is_final=is_final)
        if whole.is_whole:
            return whole
    head = await page(job, 0, total, int(budget * _HEAD_SHARE), is_final=is_final)
    room = budget - sum(size(piece.text) for piece in head.pieces)
    tail = await last(job, head.end, total, room, is_final=is_final)
    return Page(
        pieces=[*head.pieces, *tail.pieces],
        left_out=[*head.left_out, *tail.left_out],
        end=tail.end,
        is_whole=False,
    )


async def last(job: AsyncJob, start: int, total: int, budget: int, *, is_final: bool) -> Page:
    """The end of what is stored from `start` to before `total`, as far as it fits."""
    begin = max(start, total - budget)
    found = await _stored(job, begin, total - begin)
    while found.is_cut and found.end < total:  # what lies behind the dropped bytes comes last
        found = await _stored(job, found.end, total - found.end)
    count = len(found.data) if is_final else settled(found.data)
    skipped = fitting_end(found.data[:count], budget)
    if not skipped and found.start > start and found.dropped is None:
        # It may begin inside of a line, which is left out if others follow.
        newline = found.data.find(b"\n", 0, count)
        skipped = newline + 1 if 0 <= newline < count - 1 else 0
    return Page(
        pieces=_pieces(found, skipped, count),
        left_out=_left_out(found, start, skipped),
        end=found.start + count,
        is_whole=found.start + skipped == start,
    )


async def _stored(job: AsyncJob, offset: int, limit: int) -> _Bytes:
    """At most `limit` bytes, which follow each other: it ends where bytes were dropped."""
    if limit <= 0:
        return _Bytes(start=offset, data=b"", dropped=None, is_cut=False)
    parts: list[bytes] = []
    start, dropped, is_cut = offset, None, False
    async with job.records(offset=offset, limit=limit, follow=False) as records:
        async for record in records:
            if not isinstance(record, Gap):
                parts.append(record.data)
            elif parts:
                is_cut = True
                break
            else:
                start, dropped = record.end, (record.start, record.end)
    data = b"".join(parts)
    return _Bytes(start=start, data=data, dropped=dropped, is_cut=is_cut)


def _pieces(found: _Bytes, begin: int, end: int) -> list[Piece]:
    if begin >= end:
        return []
    text = rendered(found.data[begin:end])
    return [Piece(start=found.start + begin, end=found.start + end, text=text)]


def _left_out(found: _Bytes, start: int, skipped: int) -> list[LeftOut]:
    """What lies between `start` and the first byte that is shown."""
    ranges: list[LeftOut] = []
    if found.dropped is not None:
        begin, end = found.dropped
        if start < begin:
            ranges.append(LeftOut(start=start, end=begin, why="budget"))
        ranges.append(LeftOut(start=begin, end=end, why="dropped"))
        start = end
    if start < found.start + skipped:
        ranges.append(LeftOut(start=start, end=found.start + skipped, why="budget"))
    return ranges
