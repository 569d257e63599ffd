"""One reader's way through what it selected of a log, encoded, into a sink.

What has all that follows a place is read as by anybody else, once the place is found, and is handed
what comes (`fanout`). What is bounded, of one command or rewritten is read by each for itself.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from service.errors import OutputDropped
from service.output.digest import kept
from service.output.part import wait_beyond
from service.output.places import Places, find_places
from service.output.rewriter import Rewriter
from service.output.selected_cursor import SelectedCursor
from service.output.selection import Selection
from service.output.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from service.output.chunk import Chunk
    from service.output.index import LogState
    from service.output.rewriter import Rewritten
    from service.output.sink import Sink

__all__ = ["SelectedSubscription"]


class SelectedSubscription(Subscription):
    """A subscription of a part. Opened, it is to be told of which: `select`.

    Attributes, then:
        end: where it will end; None: that isn't known yet.
        elided: what is left out between its two ends.
    """

    __slots__ = ("_part", "_rewriter", "_until_ns", "elided", "end")

    async def select(self, wanted: Selection) -> None:
        """Finds the part.

        Raises:
            CorruptLog: the files contradict each other.
            OSError: the disk fails.
        """
        is_last = self.opening.closed or not self._follow
        places = Places(super().offset)
        now_ns = time.time_ns()
        if wanted.is_searched_for(is_last=is_last):
            find = partial(find_places, skips_gap=not self._encoder.marks_gaps, is_last=is_last)
            self.opening, places = await self._log.in_thread(
                find, self._log.reader, self._log.state, wanted, places.begin
            )
        size = self.opening.size(wanted.stream)
        is_past = wanted.until_ns is not None and wanted.until_ns <= now_ns
        if places.end is None and (is_last or is_past):
            places = places._replace(end=size)  # nothing comes any more, or nothing that old
        self._until_ns = wanted.until_ns
        self._begin_at(places.begin)
        self._rewriter: Rewriter | None = None
        self._part: SelectedCursor | None = None
        self.end, self.elided = places.end, places.elided
        if wanted.is_range:
            return
        self.length = None
        if wanted.rewrites:
            self._rewriter = Rewriter(wanted, by_lines=self._encoder.options.lines)
        elif wanted.command is None and places.end is not None and places.elided is None:
            self.length = self._length_to(places.end)
        attributed = self._encoder.needs_attribution
        self._part = SelectedCursor(self._log.reader, wanted, places, attributed=attributed)

    @property
    def offset(self) -> int:
        """Where the next chunk begins."""
        return super().offset if self._part is None else self._part.offset

    @property
    def is_over(self) -> bool:
        """It ended, and the log may go on."""
        return self._part is not None and self._part.is_over

    async def digest(self) -> str | None:
        """That of the whole log, if it is known: a reader of a part doesn't pay for all."""
        state = self.state
        return kept(self._directory) if state.closed and not state.gap.end else None

    async def copy_to(self, sink: Sink, *, digests: bool = False) -> None:
        """As `Subscription.copy_to`, up to the end of the part."""
        if self._part is None:
            await super().copy_to(sink, digests=False)
            return
        del digests
        while not self._part.is_over:
            if elided := self._part.take_elision():
                await self._flush(sink)
                await sink.write(self._encoder.elided(*elided))
            state = self._log.state if self._follow else self.opening
            if self._is_due():
                state = await self._end_now()
            is_last = state.closed or not self._follow
            try:
                chunks = await self._read_part(state, is_last=is_last)
            except OutputDropped as dropped:
                await self._gap(dropped, sink)
                continue
            if chunks:
                await self._write(chunks, sink)
                await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
            elif not self._part.is_at_elision:
                if is_last:
                    break
                if not self._part.is_over:
                    await self._wait_beyond(state, sink)
        await self._flush(sink)

    def _is_due(self) -> bool:
        """The time has come at which it ends."""
        assert self._part is not None  # noqa: S101 - only then it is asked
        return (
            self._until_ns is not None
            and self._part.end is None
            and time.time_ns() >= self._until_ns
        )

    async def _end_now(self) -> LogState:
        assert self._part is not None  # noqa: S101 - only then it is called
        self._log.refresh()
        wanted = Selection(stream=self._stream, until_ns=self._until_ns)
        state, places = await self._log.in_thread(
            find_places, self._log.reader, self._log.state, wanted, self._part.offset
        )
        self._part.end = state.size(self._stream) if places.end is None else places.end
        return state

    async def _wait_beyond(self, state: LogState, sink: Sink) -> None:
        timeout_s = None
        if self._until_ns is not None and self.end is None:
            timeout_s = max(0.0, (self._until_ns - time.time_ns()) / 1e9)
        with self._beating(sink):
            try:
                async with asyncio.timeout(timeout_s):
                    await wait_beyond(self._log, state.size(self._stream), self._stream)
            except TimeoutError:
                pass  # it ends now

    def _beating(self, sink: Sink) -> AbstractContextManager[None]:
        if not self._encoder.beats:
            return nullcontext()
        return self._watcher.keep_alive.during(partial(self._beat, sink))

    def _beat(self, sink: Sink, time_ns: int) -> None:
        sink.try_write(self._encoder.heartbeat(self.offset, time_ns))

    async def _gap(self, dropped: OutputDropped, sink: Sink) -> None:
        assert self._part is not None  # noqa: S101 - only then it is called
        await self._flush(sink)
        if not self._encoder.marks_gaps:
            await sink.flush()
            raise dropped
        start = self._part.offset
        end = self.opening.size(self._stream) if not self._follow else dropped.until
        self._part.skip_to(min(dropped.until, end))
        await sink.write(self._encoder.gap(start, self._part.offset))

    async def _write(self, chunks: Sequence[Chunk], sink: Sink) -> None:
        if self._rewriter is None:
            await sink.write(self._encoder.encode(chunks))
        else:
            await sink.write(self._encoded(self._rewriter.feed(chunks)))

    async def _flush(self, sink: Sink) -> None:
        if self._rewriter is not None:
            await sink.write(self._encoded(self._rewriter.finish()))

    def _encoded(self, found: Iterable[Rewritten]) -> bytes:
        return b"".join(self._encoder.rewritten(each.chunk, each.end) for each in found)

    async def _read_part(self, state: LogState, *, is_last: bool) -> Sequence[Chunk]:
        assert self._part is not None  # noqa: S101 - only then it is called
        try:
            return self._part.next_chunks(state, is_last=is_last, wait=False)
        except BlockingIOError:
            # On a copy: a cancelled caller leaves the thread behind, still reading with it.
            part = self._part.copy()
            chunks = await self._log.in_thread(part.next_chunks, state, is_last=is_last)
            self._part = part
            return chunks
