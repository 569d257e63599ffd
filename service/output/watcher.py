"""Waking the readers of a log when it grows, without polling and without losing a wake-up.

A watcher has one inotify descriptor per event loop. All who follow a job in a process share one
`WatchedLog`: one pair of open files, one watch, one read of the header per wake-up, however many
they are; and one read of what has come, for those who have a `Sink` (`fanout`). Works alike on
asyncio's own loop and on uvloop.

Why no wake-up is lost: a watched log first registers its watch, and only then reads the header, so
what was written before is seen, and what is written after makes an event. From then on its `state`
is never older than the last event, and whoever compares it before waiting misses nothing.

A finished log is read without a watch, so the kernel's limits can't get in the way of replay. Where
the kernel refuses a watch, or an instance of inotify, the logs in question are looked at twice a
second instead, as long as somebody waits for them and until a watch is granted.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from service.errors import OutputError, WatcherClosed
from service.output.fanout import FanOut
from service.output.inotify import OVERFLOW, Inotify
from service.output.reader import LogReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from service.output.fanout import Subscriber
    from service.output.index import LogState

__all__ = ["LogWatcher", "WatchedLog"]

_POLL_S = 0.5
"""Seconds between two looks at logs that can't be watched."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class WatchedLog:
    """One log as followed in this process: shared, counted, closed with its last user.

    Attributes:
        reader: reads the log; not to be closed by users of the tail.
        state: how far the log went when it was last looked at; current while anybody waits.
    """

    def __init__(self, watcher: LogWatcher, key: str, reader: LogReader) -> None:
        self._watcher = watcher
        self._key = key
        self._users = 0
        self._watch: int | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._fan_outs: dict[int | None, FanOut] = {}  # by stream
        self._error: Exception | None = None
        self.reader = reader
        self.state: LogState = reader.whole_state()

    def __enter__(self) -> Self:
        """The tail itself, released at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Releases it."""
        self.release()

    @property
    def waiting(self) -> int:
        """How many wait for this log to change."""
        return len(self._waiters) + sum(map(len, self._fan_outs.values()))

    async def changed(self, since: LogState) -> LogState:
        """Waits until the log's state is another than `since`, or the log is finished.

        Raises:
            WatcherClosed: the watcher was closed.
            CorruptLog: the header became unreadable.
        """
        if not since.closed and self.state == since:
            self._start_watching()
        while self.state == since and not since.closed:
            self._check()
            waiter = self._watcher.loop.create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self.state

    async def wait_past(self, offset: int, stream: int | None = None) -> LogState:
        """Waits until there is a byte at `offset`, or the log is finished; tells the state then.

        Raises: as `changed` does.
        """
        state = self.state
        while state.size(stream) <= offset and not state.closed:
            state = await self.changed(state)
        return state

    def join(self, subscriber: Subscriber, stream: int | None) -> bool:
        """Has `subscriber` given what comes behind its offset, until its `read_on` is done: it
        wasn't ready, more has come than one chunk, or the log is finished. To be followed by
        `leave`.

        Returns: False when it has to read on at once, and is given nothing.

        Raises: as `changed` does.
        """
        self._start_watching()
        if self.state.closed or self.state.size(stream) > subscriber.offset:
            return False
        self._check()
        fan_out = self._fan_outs.get(stream)
        if fan_out is None:
            fan_out = FanOut(self.reader, subscriber.offset, stream)
            self._fan_outs[stream] = fan_out
        fan_out.join(subscriber)
        return True

    def leave(self, subscriber: Subscriber, stream: int | None) -> None:
        """It is given nothing any more, and its offset is its own again."""
        # Those that were let go are in none, also when others have begun another meanwhile.
        if stream in self._fan_outs:
            self._fan_outs[stream].leave(subscriber)
            self._drop_empty(stream)

    async def in_thread(
        self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Runs a read that may wait for the disk in a thread, keeping the files open for it.

        A cancelled caller goes at once; the files stay open until the thread has finished.
        """
        # Not a task: those are cancelled when the loop ends, and the thread would still read.
        call = self._watcher.loop.run_in_executor(None, partial(function, *args, **kwargs))
        self.hold()
        call.add_done_callback(self._thread_ended)
        return await asyncio.shield(call)

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
        """Looks at the header again, and wakes the waiters if it has changed."""
        try:
            state = self.reader.state()
        except (OutputError, OSError) as error:
            self.fail(error)
            return
        self._error = None
        if state != self.state:
            self.state = state
            for stream, fan_out in list(self._fan_outs.items()):
                fan_out.push(state)
                self._drop_empty(stream)
            self._wake()

    def fail(self, error: Exception) -> None:
        """Makes all who wait, and who will wait, fail with this error."""
        self._error = error
        for fan_out in self._fan_outs.values():
            fan_out.let_go()
        self._fan_outs.clear()
        self._wake()

    def _check(self) -> None:
        if self._error is not None:
            # A new object for each, or they would add to each other's traceback.
            raise type(self._error)(*self._error.args)

    def _drop_empty(self, stream: int | None) -> None:
        # At once: it may be behind, and the next who has caught up begins another.
        if stream in self._fan_outs and not self._fan_outs[stream]:
            del self._fan_outs[stream]

    def _start_watching(self) -> None:
        if self._watch is None and self._error is None:
            self._watch = self._watcher.start_watching(self)
            self.refresh()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _thread_ended(self, call: asyncio.Future[_R]) -> None:
        self.release()
        # Looked at here too: the one who waited may be gone, and nobody need be told.
        if not call.cancelled():
            call.exception()


class LogWatcher:
    """Wakes the readers in one event loop; belongs to that loop's thread.

    Use it as an async context manager, or call `open` and `close`.
    """

    def __init__(self, on_refusal: Callable[[str], None] | None = None) -> None:
        """`on_refusal` is told why logs are looked at instead of watched, when that begins."""
        self._on_refusal = on_refusal
        self._is_open = False
        self._refusal: str | None = None
        self._inotify: Inotify | None = None
        self._unwatched: set[WatchedLog] = set()
        self._poll: asyncio.TimerHandle | None = None
        self._tails: dict[str, WatchedLog] = {}
        self._by_watch: dict[int, set[WatchedLog]] = {}
        self.loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        """Opens it on the running loop."""
        self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    def open(self) -> None:
        """Starts on the running loop."""
        self.loop = asyncio.get_running_loop()
        self._is_open = True
        self._try_inotify()

    def close(self) -> None:
        """Ends all waiting with `WatcherClosed`; doing it again does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        if self._inotify is not None:
            # Always before the close: uvloop aborts the process otherwise.
            self.loop.remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None
        if self._poll is not None:
            self._poll.cancel()
        self._unwatched.clear()
        self._by_watch.clear()
        for tail in list(self._tails.values()):
            tail.fail(WatcherClosed("the watcher was closed"))
        self._tails.clear()

    def watch(self, directory: str | os.PathLike[str]) -> WatchedLog:
        """The tail of the log in `directory`, which the caller must release once.

        Raises:
            FileNotFoundError: there is no log.
            CorruptLog: its header is damaged.
            WatcherClosed: the watcher is not open.
        """
        self._check_open()
        key = os.fspath(directory)
        tail = self._tails.get(key)
        if tail is None:
            reader = LogReader.open(directory)
            try:
                tail = WatchedLog(self, key, reader)
            except BaseException:
                reader.close()
                raise
            self._tails[key] = tail
        else:
            tail.refresh()
        tail.hold()
        return tail

    def start_watching(self, tail: WatchedLog) -> int | None:
        """Registers a log for wake-ups; for `WatchedLog`. None: it is polled, and may ask again."""
        self._check_open()
        try:
            if self._inotify is None:
                self._open_inotify()
            assert self._inotify is not None  # noqa: S101 - the line above made it, or raised
            watch = self._inotify.watch(tail.reader.index_fd)
        except OSError as error:
            self._refused(error)
            self._unwatched.add(tail)
            if self._poll is None:
                self._poll = self.loop.call_later(_POLL_S, self._look)
            return None
        self._unwatched.discard(tail)
        # The kernel knows one watch per file, also when two paths lead to it.
        self._by_watch.setdefault(watch, set()).add(tail)
        return watch

    def forget(self, key: str, tail: WatchedLog, watch: int | None) -> None:
        """Drops a tail without users; for `WatchedLog`."""
        self._unwatched.discard(tail)
        if self._tails.get(key) is tail:
            del self._tails[key]
        tails = self._by_watch.get(watch, set()) if watch is not None else set()
        tails.discard(tail)
        if watch in self._by_watch and not tails:
            del self._by_watch[watch]
            if self._inotify is not None:
                self._inotify.unwatch(watch)

    @property
    def refusal(self) -> str | None:
        """Why logs are looked at instead of watched; None when all are watched."""
        return self._refusal if self._inotify is None or self._unwatched else None

    def _check_open(self) -> None:
        if not self._is_open:
            msg = "the watcher is not open"
            raise WatcherClosed(msg)

    def _try_inotify(self) -> None:
        try:
            self._open_inotify()
        except OSError as error:
            self._refused(error)

    def _open_inotify(self) -> None:
        self._inotify = Inotify()
        self.loop.add_reader(self._inotify.fd, self._on_readable)

    def _refused(self, error: OSError) -> None:
        is_new = self.refusal is None
        self._refusal = f"{error.strerror}; output is looked at every {_POLL_S} s instead."
        if is_new and self._on_refusal is not None:
            self._on_refusal(self._refusal)

    def _look(self) -> None:
        """Looks at every log that can't be watched, and for which somebody waits."""
        self._poll = None
        for tail in list(self._unwatched):
            if tail.waiting:
                tail.refresh()
            else:
                self._unwatched.discard(tail)  # it asks again with the next who waits
        if self._unwatched:
            self._poll = self.loop.call_later(_POLL_S, self._look)

    def _on_readable(self) -> None:
        if self._inotify is None:
            return
        changed = self._inotify.changed()
        if OVERFLOW in changed:
            changed = set(self._by_watch)
        for watch in changed:
            for tail in list(self._by_watch.get(watch, ())):
                tail.refresh()
