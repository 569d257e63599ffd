"""Moving the output of one job's commands from their pipes into its log.

A pump waits on the loop and moves at most 256 KiB per callback, so that pumps take turns. It
holds no bytes: what it has not moved is in the pipe, and a full pipe stops the command that
writes to it, as it should.

When the log can't take bytes the pump stalls: a readable pipe would else call back without end.
Nobody tells when there is room again, so one timer per loop tries all stalled pumps once a second;
it is the only poll there is, and it ends with the last stall.

Room is waited for as long as it takes: somebody will make some. Nothing else heals by waiting. An
error that still stands after FAILING_S, or at once where it can't pass, is told as a failure.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from service.output import wide_pipes
from service.output.descriptors import bytes_waiting
from service.output.files import CHUNK_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from service.output.writer import LogWriter

__all__ = ["FAILING_S", "RETRY_S", "Pump", "StallTimer"]

RETRY_S = 1.0
"""Seconds between two tries of a stalled pump: room comes by a person's hand, not faster."""


FAILING_S = 10.0
"""Seconds for which a failing disk (EIO), or one that is read-only now (EROFS), is tried again: a
path to storage that changes over takes some."""

_FLOOD = 32
"""Pipes that were found full: a command that writes so much goes on."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_FINAL = frozenset({errno.EFBIG})
"""A file that is as large as it may be (RLIMIT_FSIZE, the file system's own limit) stays so."""


class Stalled(Protocol):
    """What waits for the disk to take bytes again."""

    def retry(self) -> None:
        """Tries it now; leaves the timer when that worked."""


class StallTimer:
    """Tries all stalled pumps of one loop again, once a second while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float = RETRY_S) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._stalled: set[Stalled] = set()
        self._handle: asyncio.TimerHandle | None = None

    def join(self, pump: Stalled) -> None:
        """Tries this pump too, from now on."""
        self._stalled.add(pump)
        if self._handle is None:
            self._handle = self._loop.call_later(self._interval_s, self.retry)

    def leave(self, pump: Stalled) -> None:
        """Forgets the pump; the last one stops the timer."""
        self._stalled.discard(pump)
        if not self._stalled and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def retry(self) -> None:
        """Tries all of them now."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._stalled:
            # Set before the tries, so that an error in one of them doesn't end them all.
            self._handle = self._loop.call_later(self._interval_s, self.retry)
        for pump in list(self._stalled):
            pump.retry()


_timers: WeakKeyDictionary[asyncio.AbstractEventLoop, StallTimer] = WeakKeyDictionary()


def _timer_of(loop: asyncio.AbstractEventLoop) -> StallTimer:
    timer = _timers.get(loop)
    if timer is None:
        timer = _timers[loop] = StallTimer(loop)
    return timer


class _Pipe(NamedTuple):
    fd: int
    stream: int
    command: int


class Pump:
    """Moves what comes out of pipes into one log; used from its loop's thread only.

    `on_ended(stream, command)` is called once for each pipe that reached its end, after its last
    byte is in the log and its descriptor is closed. It may call any method of the pump.
    `on_stalled(error)` and `on_resumed()` tell when the log takes no bytes, and when again.
    `on_failed(error)` is called once, when the log will take no bytes any more; the pump goes on
    trying until it is closed. `stalls` is the timer that stalled pumps share, by default one per
    loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: LogWriter,
        on_ended: Callable[[int, int], None],
        *,
        on_stalled: Callable[[OSError], None] | None = None,
        on_resumed: Callable[[], None] | None = None,
        on_failed: Callable[[OSError], None] | None = None,
        stalls: StallTimer | None = None,
    ) -> None:
        self._loop = loop
        self._log = log
        self._on_ended = on_ended
        self._on_stalled = on_stalled
        self._on_resumed = on_resumed
        self._on_failed = on_failed
        self._failing_since: float | None = None  # monotonic; of what isn't a lack of room
        self._stalls = stalls or _timer_of(loop)
        self._pipes: dict[int, _Pipe] = {}
        self._full = 0  # times that a pipe was
        self.stalled = False

    @property
    def pipes(self) -> list[tuple[int, int, int]]:
        """Each pipe that has not reached its end, as `add` takes it."""
        return [(pipe.fd, pipe.stream, pipe.command) for pipe in self._pipes.values()]

    def add(self, fd: int, stream: int, command: int) -> None:
        """Takes over the reading end `fd` of a pipe: the pump makes it non-blocking, closes it."""
        os.set_blocking(fd, False)
        self._pipes[fd] = pipe = _Pipe(fd, stream, command)
        if not self.stalled:
            self._loop.add_reader(fd, self._move_some, pipe)

    def remove(self, fd: int) -> None:
        """Closes this pipe, whether it was added or could not be; nothing is called for it."""
        if self._pipes.pop(fd, None) is not None:
            self._loop.remove_reader(fd)
            wide_pipes.forget(fd)
        os.close(fd)

    def end(self, fd: int) -> None:
        """Moves what has come, and reports the end, though the other side may write on."""
        if (pipe := self._pipes.get(fd)) is None:
            return
        left = CHUNK_BYTES  # somebody may never pause
        while left > 0 and self._has(pipe) and (moved := self._move(pipe)):
            left -= moved
        if self._has(pipe):
            self._end(pipe)

    def drain_now(self) -> bool:
        """Moves all that is in the pipes at this moment, without waiting.

        A writer that never pauses can't hold this up: what comes meanwhile may stay behind.
        Ended pipes are reported as always, before this returns.

        Returns: True if every pipe has reached its end.
        """
        for pipe in list(self._pipes.values()):
            left = bytes_waiting(pipe.fd) or 0 if self._has(pipe) else 0
            # One step more than there were bytes: it is the one that sees the end.
            while left >= 0 and self._has(pipe) and (moved := self._move(pipe)):
                left -= moved
        return not self._pipes

    def retry(self) -> None:
        """Tries a stalled log again; for the timer."""
        for pipe in list(self._pipes.values()):
            if self._has(pipe):
                try:
                    moved = self._log.splice_from(*pipe)
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._judge(error)
                    return
                if not moved:
                    self._end(pipe)
        self._resume()

    def close(self) -> None:
        """Closes all pipes, whatever is still in them; nothing is called any more."""
        self._unstall()
        for pipe in list(self._pipes.values()):
            self._forget(pipe)

    def _has(self, pipe: _Pipe) -> bool:
        # By identity: a callback may have closed this pipe, and its number be in use again.
        return self._pipes.get(pipe.fd) is pipe

    def _move_some(self, pipe: _Pipe) -> None:
        if self._move(pipe) < wide_pipes.FULL_BYTES:
            return
        self._full += 1
        if not self._full % _FLOOD and self._has(pipe):
            wide_pipes.widen(pipe.fd)

    def _move(self, pipe: _Pipe) -> int:
        try:
            moved = self._log.splice_from(*pipe)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._stall(error)
            return 0
        if not moved:
            self._end(pipe)
        return moved

    def _end(self, pipe: _Pipe) -> None:
        self._forget(pipe)
        if not self._pipes:
            # A stall ends with the last pipe, too.
            self._resume()
        self._on_ended(pipe.stream, pipe.command)

    def _forget(self, pipe: _Pipe) -> None:
        # Always before the close: the number may be somebody else's right after it.
        self._loop.remove_reader(pipe.fd)
        del self._pipes[pipe.fd]
        wide_pipes.forget(pipe.fd)
        os.close(pipe.fd)

    def _stall(self, error: OSError) -> None:
        if self.stalled:
            return
        self.stalled = True
        for fd in self._pipes:
            self._loop.remove_reader(fd)
        self._stalls.join(self)
        if self._on_stalled is not None:
            self._on_stalled(error)

        self._judge(error)

    def _judge(self, error: OSError) -> None:
        if error.errno in _NO_ROOM:
            self._failing_since = None
            return
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if error.errno in _FINAL or now - self._failing_since >= FAILING_S:
            told, self._on_failed = self._on_failed, None
            if told is not None:
                # Not from inside of a move: it may end all of this.
                self._loop.call_soon(told, error)

    def _unstall(self) -> None:
        self.stalled = False
        self._failing_since = None
        self._stalls.leave(self)

    def _resume(self) -> None:
        if not self.stalled:
            return
        self._unstall()
        for pipe in self._pipes.values():
            self._loop.add_reader(pipe.fd, self._move_some, pipe)
        if self._on_resumed is not None:
            self._on_resumed()
