"""The standard input of one job: from its writers, in order, into one descriptor.

Rules
1. `taken` counts the bytes that were accepted. An accepted byte goes into the descriptor, whoever
   dies but this process; a writer that retries finds it counted, so nothing is typed twice.
2. A piece is accepted whole or not at all. One that says where it goes on (`offset`) is accepted
   only there: two writers can't mix.
3. At most `MAX_INPUT_BYTES` wait here. A piece for which there is no room isn't kept: its writer is
   told when there is some, and sends it again.
4. Nothing polls. A reply comes when the descriptor has taken the piece, or never will.

The descriptor is the write end of a pipe, which is held across the commands of the job, with its
read end until the last one was started; or another one that takes input.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from service.host.identity import Identity
from service.link.from_supervisor import InputRefusal
from service.link.to_supervisor import MAX_INPUT_BYTES


class Taken(NamedTuple):
    """What became of a piece. `offset`: how much the descriptor has taken with it, or, when it was
    refused for `why`, how much was taken in all.
    """

    offset: int
    why: InputRefusal | None = None


Reply: TypeAlias = Callable[[Taken], None]
AtEnd: TypeAlias = Callable[[bytes], bytes]


@dataclass(slots=True, kw_only=True)
class InputSnapshot:
    """An input as it is handed to the next image of this process. `writer` and `reader` are
    descriptors, below 0 where it is closed; `waiting` was accepted, and not taken yet; `last` is
    the byte that was accepted last; `end_at` is how much was taken when the input was ended last,
    below 0 if it never was.
    """

    writer: int
    reader: int
    taken: int
    waiting: bytes
    is_ended: bool
    last: bytes = b""
    end_at: int = -1


class JobInput:
    """Owns its descriptors. `at_end` says what is to be written when the input ends, which stays
    open then: what a terminal takes for it, after the byte that came last.
    """

    __slots__ = (
        "_accepted",
        "_at_end",
        "_end_at",
        "_is_ended",
        "_is_watched",
        "_last",
        "_loop",
        "_parked",
        "_replies",
        "_taken",
        "_waiting",
        "_why",
        "_writer",
        "_written",
        "reader",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        writer: int,
        reader: int = -1,
        *,
        at_end: AtEnd | None = None,
    ) -> None:
        """`writer` doesn't block; `reader` is what commands get, or below 0."""
        self._loop = loop
        self._writer = writer
        self.reader = reader
        self._at_end = at_end
        self._taken = 0
        self._waiting = bytearray()
        self._last = b""
        self._end_at = -1
        self._is_ended = False
        self._is_watched = False
        self._why: InputRefusal = "closed"
        # Positions count what `at_end` says as well, which no writer has sent.
        self._accepted = 0
        self._written = 0
        self._replies: deque[tuple[int, int, Reply]] = deque()  # position, offset
        self._parked: deque[tuple[int, Reply]] = deque()  # the length of the piece

    @classmethod
    def pipe(cls, loop: asyncio.AbstractEventLoop, user: Identity | None) -> JobInput:
        """A new pipe, whose read end this user may open by the name `/dev/stdin`. Raises:
        OSError.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(writer, False)
            if user is not None:
                os.fchown(reader, user.uid, user.gid)
        except BaseException:
            os.close(reader)
            os.close(writer)
            raise
        return cls(loop, writer, reader)

    def snapshot(self) -> InputSnapshot:
        """Those whose piece has no reply yet send it again to the next image. Changes nothing."""
        return InputSnapshot(
            writer=self._writer,
            reader=self.reader,
            taken=self._taken,
            waiting=bytes(self._waiting),
            is_ended=self._is_ended,
            last=self._last,
            end_at=self._end_at,
        )

    @classmethod
    def resume(
        cls,
        loop: asyncio.AbstractEventLoop,
        snapshot: InputSnapshot,
        *,
        at_end: AtEnd | None = None,
    ) -> JobInput:
        """The input of this snapshot, going on."""
        made = cls(loop, snapshot.writer, snapshot.reader, at_end=at_end)
        made._taken, made._is_ended = snapshot.taken, snapshot.is_ended
        made._last, made._end_at = snapshot.last, snapshot.end_at
        made._waiting += snapshot.waiting
        made._accepted = len(snapshot.waiting)
        made._flush()
        return made

    def write(self, data: bytes, offset: int | None, reply: Reply, *, end: bool) -> None:
        """Accept a piece, of at most `MAX_INPUT_BYTES`, and with `end` the end of the input after
        it. Nothing and no end: the reply says at once how much was taken. An end alone, at the
        offset of the last one, is a repeat of it; one without an offset ends it once more, which
        means something to a terminal.
        """
        if offset is not None and offset != self._taken:
            reply(Taken(self._taken, "offset"))
        elif not data and not end:
            reply(Taken(self._taken, "ended" if self._why == "ended" else None))
        elif not data and (self._is_ended or offset == self._end_at):
            self._after_all(reply)
        elif self._is_closed:
            reply(Taken(self._taken, self._why))
        elif len(self._waiting) + len(data) > MAX_INPUT_BYTES:
            self._parked.append((len(data), reply))
        else:
            self._accept(data, reply, end=end)

    @property
    def pipe_id(self) -> tuple[int, int] | None:
        """Device and inode of what is written into; None once it is closed."""
        if self._writer < 0:
            return None
        found = os.fstat(self._writer)
        return found.st_dev, found.st_ino

    def close_reader(self) -> None:
        """No other command will be started: the writer learns when the job reads no more."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> int:
        """The job is over. How much was taken."""
        self._why = "ended"
        self._shut()
        self.close_reader()
        return self._taken

    @property
    def _is_closed(self) -> bool:
        return self._writer < 0 or self._is_ended

    def _accept(self, data: bytes, reply: Reply, *, end: bool) -> None:
        self._taken += len(data)
        if end:
            self._end_at = self._taken
        if end and self._at_end is None:
            self._is_ended = True
        elif end and self._at_end is not None:
            data += self._at_end(data[-1:] or self._last)
        self._waiting += data
        self._accepted += len(data)
        self._last = data[-1:] or self._last
        self._after_all(reply)
        if not self._is_watched:
            self._flush()

    def _after_all(self, reply: Reply) -> None:
        if self._waiting:
            self._replies.append((self._accepted, self._taken, reply))
        else:
            reply(Taken(self._taken))

    def _flush(self) -> None:
        while self._waiting:
            try:
                count = os.write(self._writer, self._waiting)
            except BlockingIOError:
                self._watch()
                return
            except OSError:  # nobody has the other end
                self._shut()
                return
            del self._waiting[:count]
            self._written += count
            self._answer()
        self._unwatch()
        if self._is_ended:
            self._shut()

    def _answer(self) -> None:
        while self._replies and self._replies[0][0] <= self._written:
            _, offset, reply = self._replies.popleft()
            reply(Taken(offset))
        room = MAX_INPUT_BYTES - len(self._waiting)
        while self._parked and self._parked[0][0] <= room:
            size, reply = self._parked.popleft()
            room -= size
            reply(Taken(self._taken, "no_room"))

    def _watch(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_writer(self._writer, self._flush)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_writer(self._writer)

    def _shut(self) -> None:
        """Nothing is taken any more; what waits is lost, and isn't counted."""
        self._unwatch()
        if self._writer >= 0:
            with suppress(OSError):  # a terminal that hung up
                os.close(self._writer)
            self._writer = -1
        self._taken -= min(len(self._waiting), self._taken)
        self._waiting.clear()
        replies = [reply for _, _, reply in self._replies] + [reply for _, reply in self._parked]
        self._replies.clear()
        self._parked.clear()
        for reply in replies:
            reply(Taken(self._taken, self._why))
