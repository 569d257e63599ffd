"""The readers of one log who have all that there is: what comes next is read once, encoded once,
and handed to all of them at once, as one object.

A reader that waits by itself costs a wake-up, a turn of the loop and a read for each line; a
thousand of them cost the service more than the command. One that can't take something at once is
let go, and reads on by itself, from the file, at its own pace: it slows nobody. So are all of them
when much has come: in a flood it is cheaper to read what has gathered meanwhile than to hand on
each piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.output.cursor import Cursor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable

    from service.output.formats.encoder import Encoder
    from service.output.index import LogState
    from service.output.reader import LogReader
    from service.output.sink import Sink

__all__ = ["MAX_FAN_OUT_BYTES", "FanOut", "Subscriber"]

MAX_FAN_OUT_BYTES: Final = 16 * 1024
"""Output that is handed on at most: lines, not floods. A flood comes in pieces of 64 KiB, a pipe's
size; handing those on took a tenth from the throughput of a single reader.
"""


class Subscriber:
    """A reader that has everything up to `offset`; `read_on` is done once it must read by itself.
    Until then its offset, and the state of its encoder, are known to the fan-out alone.
    """

    __slots__ = ("encoder", "offset", "read_on", "sink")

    def __init__(
        self, offset: int, encoder: Encoder, sink: Sink, read_on: asyncio.Future[None]
    ) -> None:
        self.offset = offset
        self.encoder = encoder
        self.sink = sink
        self.read_on = read_on


class FanOut:
    """The caught-up readers of a log, or of one of its streams, whose encoders are alike. All are
    at one offset: who joins has all that `push` has told of, and `push` takes all of them on, or
    lets them go.
    """

    __slots__ = ("_cursor", "_encoder", "_subscribers")

    def __init__(
        self, reader: LogReader, offset: int, stream: int | None, encoder: Encoder
    ) -> None:
        self._cursor = Cursor(reader, offset, stream, attributed=encoder.needs_attribution)
        self._encoder = encoder.copy()
        self._subscribers: set[Subscriber] = set()

    def __len__(self) -> int:
        return len(self._subscribers)

    def suits(self, stream: int | None, encoder: Encoder) -> bool:
        """Whether a reader of that stream gets the same bytes as those that are here."""
        return stream == self._cursor.stream and encoder.is_like(self._encoder)

    def join(self, subscriber: Subscriber) -> None:
        """From now on `subscriber` is given what comes."""
        self._subscribers.add(subscriber)

    @property
    def beats(self) -> bool:
        """Whether its readers are told that their stream is alive."""
        return self._encoder.beats

    def beat(self, time_ns: int) -> None:
        """Tell everybody who can take it; who can't has something to read anyway."""
        data = self._encoder.heartbeat(self._cursor.offset, time_ns)
        for subscriber in self._subscribers:
            subscriber.sink.try_write(data)

    def leave(self, subscriber: Subscriber) -> None:
        """It is given nothing any more; doing it again does nothing."""
        if subscriber in self._subscribers:
            self._subscribers.discard(subscriber)
            subscriber.offset = self._cursor.offset
            subscriber.encoder.state = self._encoder.state

    def push(self, state: LogState) -> None:
        """Gives everybody what has come. Whoever can't take it is let go; all are when the log is
        finished, and when much has come, or what can't be read at once.
        """
        cursor, encoder = self._cursor, self._encoder
        came = state.size(cursor.stream) - cursor.offset
        if 0 < came <= MAX_FAN_OUT_BYTES:
            offset, encoder_state = cursor.offset, encoder.state
            try:
                data = encoder.encode(cursor.next_chunks(state, wait=False))
            except Exception:  # noqa: BLE001 - each meets it by itself, and tells its client
                self._let_go(list(self._subscribers), offset, encoder_state)
                return
            refused = [s for s in self._subscribers if not s.sink.try_write(data)]
            self._let_go(refused, offset, encoder_state)
        if state.closed or state.size(cursor.stream) > cursor.offset:
            self.let_go()

    def let_go(self) -> None:
        """Has everybody read on by itself."""
        self._let_go(list(self._subscribers), self._cursor.offset, self._encoder.state)

    def _let_go(self, subscribers: list[Subscriber], offset: int, encoder_state: Hashable) -> None:
        for subscriber in subscribers:
            self._subscribers.discard(subscriber)
            subscriber.offset = offset
            subscriber.encoder.state = encoder_state
            if not subscriber.read_on.done():
                subscriber.read_on.set_result(None)
