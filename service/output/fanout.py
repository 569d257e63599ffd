"""The readers of one log who have all that there is: what comes next is handed to all of them at
once, read once, as one object.

A reader who waits by itself costs a wake-up, a turn of the loop and a read for each line; a
thousand of them cost the service more than the command. Who can't take something at once is let go,
and reads on by itself, from the file, at its own pace: it slows nobody. So is everybody when much
has come: in a flood it is cheaper to read what has gathered meanwhile than to hand on each piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from service.errors import OutputError
from service.output.cursor import Cursor

if TYPE_CHECKING:
    import asyncio

    from service.output.index import LogState
    from service.output.reader import LogReader

__all__ = ["MAX_FAN_OUT_BYTES", "FanOut", "Sink", "Subscriber"]

MAX_FAN_OUT_BYTES: Final = 16 * 1024
"""What is handed on at most: lines, not floods. A flood comes in pieces of 64 KiB, a pipe's size;
handing those on took a tenth from the throughput of a single reader.
"""


class Sink(Protocol):
    """Where a reader puts its chunks, without waiting."""

    def try_write(self, chunk: bytes) -> bool:
        """Takes a chunk, which others are given as well; False when it can't now."""


class Subscriber:
    """A reader who has everything up to `offset`; `read_on` is done once it must read by itself.
    Until then its offset is known to `FanOut` alone.
    """

    __slots__ = ("offset", "read_on", "sink")

    def __init__(self, offset: int, sink: Sink, read_on: asyncio.Future[None]) -> None:
        self.offset = offset
        self.sink = sink
        self.read_on = read_on


class FanOut:
    """The caught-up readers of a log, or of one of its streams. All of them are at one offset: who
    joins has all that `push` has told of, and `push` takes all of them on, or lets them go.
    """

    __slots__ = ("_cursor", "_subscribers")

    def __init__(self, reader: LogReader, offset: int, stream: int | None) -> None:
        self._cursor = Cursor(reader, offset, stream)
        self._subscribers: set[Subscriber] = set()

    def __len__(self) -> int:
        return len(self._subscribers)

    def join(self, subscriber: Subscriber) -> None:
        """From now on `subscriber` is given what comes."""
        self._subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """It is given nothing any more; doing it again does nothing."""
        if subscriber in self._subscribers:
            self._subscribers.discard(subscriber)
            subscriber.offset = self._cursor.offset

    def push(self, state: LogState) -> None:
        """Gives everybody what has come. Whoever can't take it is let go; all are when the log is
        finished, and when much has come, or what can't be read at once.
        """
        cursor = self._cursor
        came = state.size(cursor.stream) - cursor.offset
        if 0 < came <= MAX_FAN_OUT_BYTES:
            before = cursor.offset
            try:
                chunk = cursor.next_chunk(state, wait=False)
            except (OutputError, OSError):  # each of them meets it by itself, and tells its client
                self.let_go()
                return
            refused = [s for s in self._subscribers if not s.sink.try_write(chunk)]
            self._let_go(refused, before)
        if state.closed or state.size(cursor.stream) > cursor.offset:
            self.let_go()

    def let_go(self) -> None:
        """Has everybody read on by itself."""
        self._let_go(list(self._subscribers), self._cursor.offset)

    def _let_go(self, subscribers: list[Subscriber], offset: int) -> None:
        for subscriber in subscribers:
            self._subscribers.discard(subscriber)
            subscriber.offset = offset
            if not subscriber.read_on.done():
                subscriber.read_on.set_result(None)
