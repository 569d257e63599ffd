"""The readers of one log who have all that there is: what comes next is handed to all of them at
once, read once, as one object.

A reader who waits by itself costs a wake-up, a turn of the loop and a read for each line; a
thousand of them cost the service more than the command. Who can't take something at once is let go,
and reads on by itself, from the file, at its own pace: it slows nobody. So is everybody when much
has come: in a flood it is cheaper to read what has gathered meanwhile than to hand on each piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from service.output.cursor import Cursor
from service.output.errors import OutputError

if TYPE_CHECKING:
    import asyncio

    from service.output.index import LogState
    from service.output.reader import LogReader

__all__ = ["MAX_HANDED_BYTES", "CaughtUp", "Member", "Taker"]

MAX_HANDED_BYTES: Final = 16 * 1024
"""What is handed on at most: lines, not floods. A flood comes in pieces of 64 KiB, a pipe's size;
handing those on took a tenth from the throughput of a single reader.
"""


class Taker(Protocol):
    """Where a reader puts its chunks, without waiting."""

    def take(self, chunk: bytes) -> bool:
        """Takes a chunk, which others are given as well; False when it can't now."""


class Member:
    """A reader who has everything up to `offset`; `read_on` is done once it must read by itself.
    Until then its offset is known to `CaughtUp` alone.
    """

    __slots__ = ("offset", "read_on", "taker")

    def __init__(self, offset: int, taker: Taker, read_on: asyncio.Future[None]) -> None:
        self.offset = offset
        self.taker = taker
        self.read_on = read_on


class CaughtUp:
    """The caught-up readers of a log, or of one of its streams. All of them are at one offset: who
    joins has all that `push` has told of, and `push` takes all of them on, or lets them go.
    """

    __slots__ = ("_cursor", "_members")

    def __init__(self, reader: LogReader, offset: int, stream: int | None) -> None:
        self._cursor = Cursor(reader, offset, stream)
        self._members: set[Member] = set()

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: Member) -> None:
        """From now on `member` is given what comes."""
        self._members.add(member)

    def leave(self, member: Member) -> None:
        """It is given nothing any more; doing it again does nothing."""
        if member in self._members:
            self._members.discard(member)
            member.offset = self._cursor.offset

    def push(self, state: LogState) -> None:
        """Gives everybody what has come. Whoever can't take it is let go; all are when the log is
        finished, and when much has come, or what can't be read at once.
        """
        cursor = self._cursor
        came = state.size(cursor.stream) - cursor.offset
        if 0 < came <= MAX_HANDED_BYTES:
            before = cursor.offset
            try:
                chunk = cursor.next_chunk(state, wait=False)
            except (OutputError, OSError):  # each of them meets it by itself, and tells its client
                self.let_go()
                return
            refused = [member for member in self._members if not member.taker.take(chunk)]
            self._let_go(refused, before)
        if state.closed or state.size(cursor.stream) > cursor.offset:
            self.let_go()

    def let_go(self) -> None:
        """Has everybody read on by itself."""
        self._let_go(list(self._members), self._cursor.offset)

    def _let_go(self, members: list[Member], offset: int) -> None:
        for member in members:
            self._members.discard(member)
            member.offset = offset
            if not member.read_on.done():
                member.read_on.set_result(None)
