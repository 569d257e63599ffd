"""One log as it is followed in this process: its files, its watch and its readers, shared by all.

All who follow a job in a process share one pair of open files, one watch, one read of the header
per wake-up, and one read of what has come (`fanout`). The last one who lets go closes it.

Why no wake-up is lost: the watch is registered first, and only then the header is read, so what
was written before is seen, and what is written after makes an event. From then on `state` is never
older than the last event, and whoever compares it before waiting misses nothing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from service.errors import OutputError
from service.output.digest import LogDigest
from service.output.fanout import FanOut
from service.output.lines.line_index import LineIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.output.fanout import Subscriber
    from service.output.index import LogState
    from service.output.reader import LogReader
    from service.output.watcher import LogWatcher

__all__ = ["WatchedLog"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class WatchedLog:
    """Made by `LogWatcher.watch`; belongs to that one's loop.

    Attributes:
        reader: reads the log; not to be closed by those who share it.
        state: how far the log went when it was last looked at; current while anybody waits.
        fan_outs: those who wait for it to change.
        lines: the index of its lines, as far as anybody has needed it.
    """

    __slots__ = (
        "_bells",
        "_digest",
        "_error",
        "_hashing",
        "_indexing",
        "_key",
        "_users",
        "_watch",
        "_watcher",
        "fan_outs",
        "lines",
        "reader",
        "state",
    )

    def __init__(self, watcher: LogWatcher, key: str, reader: LogReader) -> None:
        self._watcher = watcher
        self._key = key
        self._users = 0
        self._watch: int | None = None
        self._error: Exception | None = None
        self._bells: set[Callable[[], None]] = set()
        self._digest = LogDigest()
        self._hashing: asyncio.Future[None] | None = None
        self._indexing: asyncio.Future[None] | None = None
        self.fan_outs: list[FanOut] = []
        self.reader = reader
        self.lines = LineIndex(key, reader)
        self.state: LogState = reader.whole_state()

    def join(self, subscriber: Subscriber, stream: int | None) -> bool:
        """Has `subscriber` given what comes behind its offset, until its `read_on` is done: it
        wasn't ready, more has come than is handed on, or the log is finished. To be followed by
        `leave`.

        Returns: False when it has to read on at once, and is given nothing.

        Raises:
            WatcherClosed: the watcher was closed.
            CorruptLog: the header became unreadable.
        """
        self._start_watching()
        if self.state.closed or self.state.size(stream) > subscriber.offset:
            return False
        if self._error is not None:
            # A new object for each, or they would add to each other's traceback.
            raise type(self._error)(*self._error.args)
        self._fan_out_for(subscriber, stream).join(subscriber)
        return True

    def leave(self, subscriber: Subscriber) -> None:
        """It is given nothing any more, and its offset is its own again."""
        # Those that were let go are in none, also when others have begun another meanwhile.
        for fan_out in self.fan_outs:
            fan_out.leave(subscriber)
        self._drop_empty()

    async def in_thread(
        self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Runs a read that may wait for the disk in a thread, keeping the files open for it.

        A cancelled caller goes at once; the files stay open until the thread has finished.
        """
        return await asyncio.shield(self._begin_in_thread(function, *args, **kwargs))

    def hash_on(self, end: int) -> asyncio.Future[None] | None:
        """Takes the digest of the log one step further towards `end`, in a thread. Returns that
        step, or the one that is under way, or None when it has come to `end`.
        """
        if self._hashing is not None and not self._hashing.done():
            return self._hashing
        self._hashing = None
        if self._digest.offset < end:
            self._hashing = self._begin_in_thread(self._digest.advance, self.reader, end)
        return self._hashing

    async def index_on(self) -> None:
        """Takes the index of lines one step further, in a thread, or waits for the step that is
        under way.

        Raises:
            CorruptLog: the log is shorter than its header says.
        """
        if self._indexing is None or self._indexing.done():
            self._indexing = self._begin_in_thread(self.lines.advance, self.state)
        await asyncio.shield(self._indexing)

    @property
    def hashed(self) -> int:
        """How far the digest has come."""
        return self._digest.offset

    async def digest(self, end: int) -> str:
        """The digest of the log, which has `end` bytes, and will never have more.

        Raises:
            CorruptLog: it has less.
        """
        while (step := self.hash_on(end)) is not None:
            await asyncio.shield(step)
        return self._digest.hex()

    def hold(self) -> None:
        """Counts one user more."""
        self._users += 1
        self.reader.share(among_many=self._users > 1)

    def release(self) -> None:
        """Counts one user less; with the last one the files are closed and the watch ends."""
        self._users -= 1
        if self._users:
            self.reader.share(among_many=self._users > 1)
            return
        self._watcher.forget(self._key, self, self._watch)
        self.reader.close()

    def refresh(self) -> None:
        """Looks at the header again, and hands on what has come."""
        try:
            state = self.reader.state()
        except (OutputError, OSError) as error:
            self.fail(error)
            return
        self._error = None
        if state != self.state:
            self.state = state
            for fan_out in self.fan_outs:
                fan_out.push(state)
            self._drop_empty()
            self._ring()

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for it to change."""
        return bool(self.fan_outs or self._bells)

    def add_bell(self, bell: Callable[[], None]) -> None:
        """Have `bell` called whenever it has changed, for one who reads on by itself."""
        self._bells.add(bell)
        self._start_watching()

    def remove_bell(self, bell: Callable[[], None]) -> None:
        """Not any more; doing it again does nothing."""
        self._bells.discard(bell)

    def _ring(self) -> None:
        for bell in list(self._bells):
            bell()

    def beat(self, time_ns: int) -> None:
        """Tells readers who have all there is that their streams are alive."""
        beating = [fan_out for fan_out in self.fan_outs if fan_out.beats]
        for fan_out in beating:
            fan_out.beat(time_ns)
        if not beating:
            self._watcher.keep_alive.discard(self.beat)

    def fail(self, error: Exception) -> None:
        """Makes all who wait, and who will wait, fail with this error."""
        self._error = error
        for fan_out in self.fan_outs:
            fan_out.let_go()
        self.fan_outs = []
        self._ring()

    def _fan_out_for(self, subscriber: Subscriber, stream: int | None) -> FanOut:
        encoder = subscriber.encoder
        for fan_out in self.fan_outs:
            if fan_out.suits(stream, encoder):
                return fan_out
        fan_out = FanOut(self.reader, subscriber.offset, stream, encoder)
        if fan_out.beats:
            self._watcher.keep_alive.add(self.beat)
        self.fan_outs.append(fan_out)
        return fan_out

    def _drop_empty(self) -> None:
        # At once: it may be behind, and the next who has caught up begins another.
        if not all(self.fan_outs):
            self.fan_outs = [fan_out for fan_out in self.fan_outs if len(fan_out)]

    def _start_watching(self) -> None:
        if self._watch is None and self._error is None:
            self._watch = self._watcher.start_watching(self)
            self.refresh()

    def _begin_in_thread(
        self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> asyncio.Future[_R]:
        # Not a task: those are cancelled when the loop ends, and the thread would still read.
        call = self._watcher.loop.run_in_executor(None, partial(function, *args, **kwargs))
        self.hold()
        call.add_done_callback(self._thread_ended)
        return call

    def _thread_ended(self, call: asyncio.Future[_R]) -> None:
        self.release()
        # Looked at here too: the one who waited may be gone, and nobody need be told.
        if not call.cancelled():
            call.exception()
