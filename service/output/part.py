"""A part of a log, from one offset to another: copied to a reader, or waited for."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

from service.output.cursor import Cursor
from service.output.fanout import Subscriber
from service.output.files import READ_BYTES
from service.output.formats.plain_text import PlainText

if TYPE_CHECKING:
    from service.output.index import LogState
    from service.output.sink import FileSink
    from service.output.watched_log import WatchedLog

__all__ = ["copy_part", "is_fixed", "wait_beyond"]


async def copy_part(
    log: WatchedLog, sink: FileSink, begin: int, end: int, stream: int | None, state: LogState
) -> None:
    """Writes the bytes from `begin` to before `end`, which `state` has. A large part whose bytes
    are in the file as they are sent, and stay there, goes from the file as far as it is in memory.

    Raises:
        OutputDropped: a byte was dropped.
        CorruptLog: the files contradict each other.
        OSError: the disk fails.
    """
    cursor = Cursor(log.reader, begin, stream)
    is_sent = stream is None and is_fixed(state, begin, end)
    while cursor.offset < end:
        if is_sent and end - cursor.offset > READ_BYTES:
            cursor.offset = await sink.send_file(log.reader, cursor.offset, end)
            if cursor.offset == end:
                return
        wanted = min(READ_BYTES, end - cursor.offset)
        try:
            chunks = cursor.next_chunks(state, wanted, wait=False)
        except BlockingIOError:
            # On a copy: a cancelled caller leaves the thread behind, still reading with it.
            read_on = copy.copy(cursor)
            chunks = await log.in_thread(read_on.next_chunks, state, wanted)
            cursor = read_on
        await sink.write(b"".join(chunk.data for chunk in chunks))
        if cursor.offset < end:
            # A sink that never has to wait would keep the loop from the others.
            await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait


def is_fixed(state: LogState, begin: int, end: int) -> bool:
    """Whether no byte of the part was dropped, or ever will be: the kernel sends pages of the file
    later, as they are then.
    """
    start, behind = state.gap.of(None)
    return not state.limit or (state.closed and (end <= start or begin >= behind))


async def wait_beyond(log: WatchedLog, offset: int, stream: int | None) -> None:
    """Returns once there is a byte at `offset`, the end of the stream when it was last looked at;
    or once the log is closed.

    Raises:
        WatcherClosed: the watcher was closed.
        CorruptLog: the header became unreadable.
    """
    while not log.state.closed and log.state.size(stream) <= offset:
        came = asyncio.get_running_loop().create_future()
        waiting = Subscriber(offset, PlainText(), _TakesNothing(), came)
        try:
            if log.join(waiting, stream):
                await came
        finally:
            log.leave(waiting)


class _TakesNothing:
    """A reader that only wants to know that something came."""

    def try_write(self, data: bytes) -> bool:
        del data
        return False

    async def write(self, data: bytes) -> None:
        raise NotImplementedError

    async def flush(self) -> None:
        raise NotImplementedError
