"""One reader's way through a log: replay from an offset, then live, in chunks of bytes.

Nothing is buffered between the log and the consumer: the next chunk is read when the consumer
asks for it, so a slow one lags behind, is served from the disk, and slows nobody. One that has all
there is may have the next chunk handed to it instead, as soon as it comes (`fanout`).
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

from service.errors import CorruptLog, OffsetBeyondEnd, OffsetInGap
from service.output.cursor import Cursor
from service.output.fanout import Subscriber

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from service.errors import OutputDropped
    from service.output.fanout import Sink
    from service.output.index import LogState
    from service.output.watcher import LogWatcher, WatchedLog

__all__ = ["Subscription", "check_end"]


def check_end(found: int, at_least: int) -> None:
    """Sees that a log which ends at `found` has all that is known to have been in it.

    Raises:
        CorruptLog: bytes are missing.
    """
    if found < at_least:
        msg = f"the output has {found} bytes, it had {at_least}"
        raise CorruptLog(msg)


class Subscription:
    """Follows one log from `offset`; an async context manager, whose `chunks` are its output.

    A negative offset counts from the present end. With `stream`, offsets count the bytes of that
    stream alone. With `follow=False` it ends where the log ended when it was opened. With
    `into_gap` it may begin where bytes were dropped; `chunks` then tells so at once. A log with
    fewer bytes than `at_least` is damaged.

    Attributes, once entered:
        opening: the log's state at that moment.
        offset: where the next chunk begins; `chunks` moves it on.
        length: how many bytes will come in all, when that is known at opening, else None; those
            that were dropped are counted.
    """

    __slots__ = (
        "_at_least",
        "_cursor",
        "_directory",
        "_follow",
        "_into_gap",
        "_stream",
        "_tail",
        "_watcher",
        "length",
        "offset",
        "opening",
    )

    def __init__(
        self,
        watcher: LogWatcher,
        directory: str | os.PathLike[str],
        offset: int = 0,
        stream: int | None = None,
        *,
        follow: bool = True,
        into_gap: bool = False,
        at_least: int = 0,
    ) -> None:
        self._watcher = watcher
        self._directory = directory
        self._stream = stream
        self._follow = follow
        self._into_gap = into_gap
        self._at_least = at_least
        self._tail: WatchedLog
        self._cursor: Cursor
        self.opening: LogState
        self.length: int | None = None
        self.offset = offset

    async def __aenter__(self) -> Self:
        """Opens the log.

        Raises:
            FileNotFoundError: there is no log.
            OffsetBeyondEnd: the log has no such offset yet.
            OffsetInGap: its byte at the offset was dropped, and `into_gap` isn't set.
            CorruptLog: its header is damaged, or it is too short.
        """
        self._tail = tail = self._watcher.watch(self._directory)
        self.opening = tail.state
        try:
            check_end(self.opening.end, self._at_least)
        except CorruptLog:
            tail.release()
            raise
        size = self.opening.size(self._stream)
        if self.offset > size:
            tail.release()
            raise OffsetBeyondEnd(self.offset, size)
        if self.offset < 0:
            self.offset = max(0, size + self.offset)
        gap_start, gap_end = self.opening.gap.of(self._stream)
        if gap_start <= self.offset < gap_end and not self._into_gap:
            tail.release()
            raise OffsetInGap(self.offset, (gap_start, gap_end), size)
        if self.opening.closed or not self._follow:
            self.length = size - self.offset
        self._cursor = Cursor(tail.reader, self.offset, self._stream)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Lets go of the log."""
        self._tail.release()

    @property
    def descriptor(self) -> int:
        """One of the descriptors that the log is read through, for judging how many are left."""
        return self._tail.reader.index_fd

    @property
    def state(self) -> LogState:
        """The log's state as last seen; `complete` is meaningful when `chunks` has ended."""
        return self._tail.state

    def skip(self, dropped: OutputDropped) -> int:
        """Goes on behind the bytes of which `chunks` told.

        Returns: how many bytes this reader has missed there.
        """
        until = dropped.until
        if not self._follow:
            until = min(until, self.opening.size(self._stream))
        missed = until - self.offset
        self.offset = self._cursor.offset = until
        return missed

    async def chunks(self, sink: Sink | None = None) -> AsyncIterator[bytes]:
        """The bytes from `offset` on, 1 byte to 128 KiB at a time.

        With a `sink`, what comes while the consumer waits is given to it, if it is ready, and not
        to the consumer. Ends when the log is finished and all of it was delivered. Stopping in
        between loses nothing: `offset` tells how far it came, and calling again goes on from there.

        Raises:
            OutputDropped: the next byte was dropped; after `skip`, calling again goes on behind
                what is missing.
            WatcherClosed: the watcher was closed, so it is not known whether more comes.
            CorruptLog: the files contradict each other.
            OSError: the disk fails, or the kernel refuses a watch.
        """
        while True:
            state = self._tail.state if self._follow else self.opening
            chunk = await self._read(state)
            if chunk:
                self.offset += len(chunk)
                yield chunk
                if self.offset < state.size(self._stream):
                    # A consumer that never has to wait would keep the loop from the others.
                    await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
            elif state.closed or not self._follow:
                return
            elif sink is None:
                await self._tail.changed(state)
            else:
                # Awaited here: a coroutine around it would be held by each reader while it waits.
                subscriber = Subscriber(self.offset, sink, self._watcher.loop.create_future())
                try:
                    if self._tail.join(subscriber, self._stream):
                        await subscriber.read_on
                finally:
                    self._tail.leave(subscriber, self._stream)
                    self.offset = self._cursor.offset = subscriber.offset

    async def _read(self, state: LogState) -> bytes:
        try:
            return self._cursor.next_chunk(state, wait=False)
        except BlockingIOError:
            # On a copy: a cancelled caller leaves the thread behind, still reading with it.
            cursor = copy.copy(self._cursor)
            chunk = await self._tail.in_thread(cursor.next_chunk, state)
            self._cursor = cursor
            return chunk
