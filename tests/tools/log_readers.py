"""Readers of an output log in this process: what a log watcher's sinks are given, and when."""

from __future__ import annotations

import asyncio
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from service.output.fanout import Subscriber
from service.output.formats.plain_text import PlainText
from service.output.subscription import Subscription
from service.output.watcher import LogWatcher

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from service.output.chunk import Chunk
    from service.output.cursor import Cursor
    from service.output.index import LogState
    from service.output.watched_log import WatchedLog


def next_bytes(cursor: Cursor, **options: Any) -> bytes:
    """The bytes of the next chunks."""
    return b"".join(chunk.data for chunk in cursor.next_chunks(**options))


def chunks_of(cursor: Cursor) -> list[Chunk]:
    """All chunks up to the end of its log."""
    found: list[Chunk] = []
    while chunks := cursor.next_chunks():
        found += chunks
    return found


def rest_of(cursor: Cursor) -> bytes:
    """All that the cursor reads up to the end of its log."""
    return b"".join(chunk.data for chunk in chunks_of(cursor))


@contextmanager
def watching(on_refusal: Callable[[str], None] | None = None) -> Iterator[LogWatcher]:
    """A watcher that is open."""
    watcher = LogWatcher(on_refusal)
    watcher.open()
    try:
        yield watcher
    finally:
        watcher.close()


@contextmanager
def subscribed(
    watcher: LogWatcher,
    directory: str | os.PathLike[str],
    *arguments: Any,
    **options: Any,
) -> Iterator[Subscription]:
    """A subscription as plain text, unless `encoder` is another; it is closed at the end."""
    encoder = options.pop("encoder", None) or PlainText()
    with closing(Subscription.open(watcher, directory, encoder, *arguments, **options)) as opened:
        yield opened


@contextmanager
def watched(watcher: LogWatcher, directory: str | os.PathLike[str]) -> Iterator[WatchedLog]:
    """A log that is watched, and let go at the end."""
    log = watcher.watch(directory)
    try:
        yield log
    finally:
        log.release()


async def wait_past(log: WatchedLog, offset: int, stream: int | None = None) -> LogState:
    """Returns the log's state once it has a byte at `offset`, or is finished."""
    nobody = FakeSink()
    nobody.hold_up()
    while log.state.size(stream) <= offset and not log.state.closed:
        read_on = asyncio.get_running_loop().create_future()
        subscriber = Subscriber(log.state.size(stream), PlainText(), nobody, read_on)
        try:
            if log.join(subscriber, stream):
                await read_on
        finally:
            log.leave(subscriber)
    return log.state


async def turn() -> None:
    """Lets everything run that is ready to, once."""
    await asyncio.sleep(0)  # noqa: TID251 - waits for nothing


async def until_waiting(watcher: LogWatcher, directory: str | os.PathLike[str], count: int) -> None:
    """Lets the loop turn until exactly so many readers of the log have all there is, and wait."""
    with watched(watcher, directory) as log:
        while sum(map(len, log.fan_outs)) != count:
            await turn()


class FakeSink:
    """A `Sink` that keeps what it is given, in memory, and how it came.

    Attributes:
        handed: what `try_write` took, `written`: what `write` took; `all`: both, as it came.
        flushed: how much of it was there when `flush` returned.
    """

    def __init__(self) -> None:
        self.handed: list[bytes] = []
        self.written: list[bytes] = []
        self.all = bytearray()
        self.flushed = 0
        self._is_held_up = False
        self._is_gone = False
        self._came = asyncio.Event()
        self._ready = asyncio.Event()
        self._ready.set()

    def hold_up(self) -> None:
        """It can take nothing without waiting."""
        self._is_held_up = True
        self._ready.clear()

    def release(self) -> None:
        """It can again."""
        self._is_held_up = False
        self._ready.set()

    def leave(self) -> None:
        """Its reader is gone."""
        self._is_gone = True
        self._ready.set()

    def try_write(self, data: bytes) -> bool:
        if self._is_held_up or self._is_gone:
            return False
        self.handed.append(data)
        self._take(data)
        return True

    async def write(self, data: bytes) -> None:
        await self._ready.wait()
        if self._is_gone:
            raise ConnectionError("the reader is gone")
        self.written.append(data)
        self._take(data)

    async def flush(self) -> None:
        await self._ready.wait()
        self.flushed = len(self.all)

    async def has(self, expected: bytes) -> None:
        """Returns once as many bytes have come; they are these."""
        await self.has_bytes(len(expected))
        assert self.all == expected

    async def has_bytes(self, count: int) -> None:
        while len(self.all) < count:
            self._came.clear()
            await self._came.wait()

    def _take(self, data: bytes) -> None:
        self.all += data
        self._came.set()


async def collected(subscription: Subscription) -> bytes:
    """All that comes to the end of the log."""
    sink = FakeSink()
    await subscription.copy_to(sink)
    return bytes(sink.all)
