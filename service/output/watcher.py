"""Waking the readers of logs when those grow, without polling and without losing a wake-up.

A watcher has one inotify descriptor per event loop, and one watch per log (`watched_log`). Works
alike on asyncio's own loop and on uvloop.

A finished log is read without a watch, so the kernel's limits can't get in the way of replay. Where
the kernel refuses a watch, or an instance of inotify, the logs in question are polled twice a
second instead, as long as somebody waits for them and until a watch is granted.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from service.errors import WatcherClosed
from service.output.inotify import OVERFLOW, Inotify
from service.output.keep_alive import HEARTBEAT_S, KeepAlive
from service.output.reader import LogReader
from service.output.watched_log import WatchedLog

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LogWatcher"]

_POLL_S = 0.5
"""Seconds between two looks at logs that can't be watched."""


class LogWatcher:
    """Wakes the readers in one event loop, from `open` to `close`; for that loop's thread.

    Attributes:
        keep_alive: tells them that silent streams are alive.
    """

    def __init__(
        self,
        on_refusal: Callable[[str], None] | None = None,
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """`on_refusal` is told why logs are polled instead of watched, when that begins."""
        self._on_refusal = on_refusal
        self._is_open = False
        self._refusal: str | None = None
        self._inotify: Inotify | None = None
        self._unwatched: set[WatchedLog] = set()
        self._poll: asyncio.TimerHandle | None = None
        self._logs: dict[str, WatchedLog] = {}
        self.keep_alive = KeepAlive(heartbeat_s)
        self._by_watch: dict[int, set[WatchedLog]] = {}
        self.loop: asyncio.AbstractEventLoop

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
        self.keep_alive.close()
        if self._inotify is not None:
            # Always before the close: uvloop aborts the process otherwise.
            self.loop.remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None
        if self._poll is not None:
            self._poll.cancel()
        self._unwatched.clear()
        self._by_watch.clear()
        for log in list(self._logs.values()):
            log.fail(WatcherClosed("the watcher was closed"))
        self._logs.clear()

    def watch(self, directory: str | os.PathLike[str]) -> WatchedLog:
        """The log in `directory`, which the caller must release once.

        Raises:
            FileNotFoundError: there is no log.
            CorruptLog: its header is damaged.
            WatcherClosed: the watcher is not open.
        """
        self._check_open()
        key = os.fspath(directory)
        log = self._logs.get(key)
        if log is None:
            reader = LogReader.open(directory)
            try:
                log = WatchedLog(self, key, reader)
            except BaseException:
                reader.close()
                raise
            self._logs[key] = log
        else:
            log.refresh()
        log.hold()
        return log

    def start_watching(self, log: WatchedLog) -> int | None:
        """Registers a log for wake-ups; for `WatchedLog`. None: it is polled, and may ask again."""
        self._check_open()
        try:
            if self._inotify is None:
                self._open_inotify()
            assert self._inotify is not None  # noqa: S101 - the line above made it, or raised
            watch = self._inotify.watch(log.reader.index_fd)
        except OSError as error:
            self._refused(error)
            self._unwatched.add(log)
            if self._poll is None:
                self._poll = self.loop.call_later(_POLL_S, self._look)
            return None
        self._unwatched.discard(log)
        # The kernel knows one watch per file, also when two paths lead to it.
        self._by_watch.setdefault(watch, set()).add(log)
        return watch

    def forget(self, key: str, log: WatchedLog, watch: int | None) -> None:
        """Drops a log without users; for `WatchedLog`."""
        self._unwatched.discard(log)
        if self._logs.get(key) is log:
            del self._logs[key]
        logs = self._by_watch.get(watch, set()) if watch is not None else set()
        logs.discard(log)
        if watch in self._by_watch and not logs:
            del self._by_watch[watch]
            if self._inotify is not None:
                self._inotify.unwatch(watch)

    @property
    def refusal(self) -> str | None:
        """Why logs are polled instead of watched; None when all are watched."""
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
        for log in list(self._unwatched):
            if log.is_awaited:
                log.refresh()
            else:
                self._unwatched.discard(log)  # it asks again with the next who waits
        if self._unwatched:
            self._poll = self.loop.call_later(_POLL_S, self._look)

    def _on_readable(self) -> None:
        if self._inotify is None:
            return
        changed = self._inotify.changed()
        if OVERFLOW in changed:
            changed = set(self._by_watch)
        for watch in changed:
            for log in list(self._by_watch.get(watch, ())):
                log.refresh()
