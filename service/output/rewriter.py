"""Puts filters between what is read and what is encoded: chunks in, rewritten chunks out, no I/O.

What comes out is whole lines, so that each piece says which bytes of the log it stands for. Each
stream, if it is known, is rewritten by itself: a sequence of one isn't torn by the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from service.output.filters.filter import Chain
from service.output.filters.rewriting import filters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.output.chunk import Chunk
    from service.output.selection import Selection

__all__ = ["Rewriter", "Rewritten"]

_MAX_LINE_BYTES: Final = 64 * 1024


class Rewritten(NamedTuple):
    """What the bytes of a log from that of the chunk up to `end` came to."""

    chunk: Chunk
    end: int


class Rewriter:
    """For one reader. `by_lines`: each line is a chunk of its own."""

    __slots__ = ("_by_lines", "_held", "_selection")

    def __init__(self, selection: Selection, *, by_lines: bool) -> None:
        self._selection = selection
        self._by_lines = by_lines
        self._held: dict[tuple[int, int], _Held] = {}

    def feed(self, chunks: Sequence[Chunk]) -> Iterator[Rewritten]:
        """What is known of it once these have come."""
        for chunk in chunks:
            key = chunk.stream, chunk.command
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = _Held(self._selection)
            yield from held.feed(chunk, by_lines=self._by_lines)

    def finish(self) -> Iterator[Rewritten]:
        """The rest of it: nothing comes, or something is missing there."""
        for held in self._held.values():
            yield from held.finish()
        self._held.clear()


class _Held:
    """Of one stream of one command: its filters, and the beginning of a line."""

    __slots__ = ("_chain", "_end", "_first", "_rest", "_start", "_stream")

    def __init__(self, selection: Selection) -> None:
        self._chain = Chain(
            filters(strips_ansi=selection.strips_ansi, collapses_cr=selection.collapses_cr)
        )
        self._stream = selection.stream
        self._first: Chunk | None = None  # has the time of what is held
        self._start = 0
        self._end = 0
        self._rest = b""

    def feed(self, chunk: Chunk, *, by_lines: bool) -> Iterator[Rewritten]:
        place = chunk.offset if self._stream is None else chunk.stream_offset
        if not self._rest:
            self._first, self._start = chunk, place
        text = self._rest + chunk.data
        self._end = place + len(chunk.data)
        behind = self._end - len(text)  # of a byte of `text`, as far as it is of this chunk
        done = 0
        whole = text.rfind(b"\n") + 1
        while done < whole:
            end = text.index(b"\n", done) + 1 if by_lines else whole
            yield self._rewritten(text[done:end], behind + end)
            self._first, self._start, done = chunk, behind + end, end
        self._rest = text[whole:]
        if len(self._rest) > _MAX_LINE_BYTES:
            yield self._rewritten(self._rest, self._end)
            self._rest = b""

    def finish(self) -> Iterator[Rewritten]:
        found = self._rewritten(self._rest, self._end)
        data = found.chunk.data + self._chain.finish()
        if data or self._rest:
            yield found._replace(chunk=found.chunk._replace(data=data))

    def _rewritten(self, data: bytes, end: int) -> Rewritten:
        assert self._first is not None  # noqa: S101 - something was fed
        data = self._chain.feed(data)
        if self._stream is None:
            return Rewritten(self._first._replace(offset=self._start, data=data), end)
        return Rewritten(self._first._replace(stream_offset=self._start, data=data), end)
