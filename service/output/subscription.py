"""One reader's way through a log: replay from an offset, then live, encoded, into a sink.

Nothing is buffered between the log and the sink: the next chunk is read when the sink has taken
the one before, so a slow one lags behind, is served from the disk, and slows nobody. One that has
all there is has what comes handed to it, as soon as it comes (`fanout`).
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

from service.errors import OutputDropped
from service.output.cursor import Cursor
from service.output.digest import STEP_BYTES, keep, kept
from service.output.fanout import Subscriber
from service.output.files import READ_BYTES
from service.output.offsets import check_end, checked_offset
from service.output.part import is_fixed
from service.output.sink import FileSink

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from typing import Self

    from service.output.chunk import Chunk
    from service.output.formats.encoder import Encoder
    from service.output.index import LogState
    from service.output.sink import Sink
    from service.output.watched_log import WatchedLog
    from service.output.watcher import LogWatcher

__all__ = ["Subscription"]

_SENT_BYTES = 2 * READ_BYTES
"""From here on bytes go from the file as it is: of fewer a copy costs less."""


class Subscription:
    """Reads one log for one reader, until it is closed.

    Attributes:
        opening: the log's state when it was opened.
        length: how many bytes will be written in all, when that is known at opening, else None.
    """

    __slots__ = (
        "_cursor",
        "_directory",
        "_encoder",
        "_follow",
        "_log",
        "_stream",
        "_watcher",
        "length",
        "opening",
    )

    def __init__(
        self,
        watcher: LogWatcher,
        log: WatchedLog,
        directory: str | os.PathLike[str],
        encoder: Encoder,
        offset: int,
        stream: int | None,
        *,
        follow: bool,
    ) -> None:
        """For `open`."""
        self._watcher = watcher
        self._log = log
        self._directory = directory
        self._encoder = encoder
        self._stream = stream
        self._follow = follow
        self.opening = log.state
        self.length: int | None = None
        self._begin_at(offset)

    @classmethod
    def open(
        cls,
        watcher: LogWatcher,
        directory: str | os.PathLike[str],
        encoder: Encoder,
        offset: int = 0,
        stream: int | None = None,
        *,
        follow: bool = True,
        at_least: int = 0,
    ) -> Self:
        """Opens the log in `directory`, to be read from `offset` on.

        A negative offset counts from the present end. With `stream`, offsets count the bytes of
        that stream alone. With `follow=False` it ends where the log ended when it was opened. A log
        with fewer bytes than `at_least` is damaged.

        Raises:
            FileNotFoundError: there is no log.
            OffsetBeyondEnd: the log has no such offset yet.
            OffsetInGap: its byte at the offset was dropped, and the encoder marks no gaps.
            CorruptLog: its header is damaged, or it is too short.
            WatcherClosed: the watcher is not open.
        """
        log = watcher.watch(directory)
        try:
            check_end(log.state.end, at_least)
            gap = None if encoder.marks_gaps else log.state.gap.of(stream)
            begin = checked_offset(offset, log.state.size(stream), gap)
            return cls(watcher, log, directory, encoder, begin, stream, follow=follow)
        except BaseException:
            log.release()
            raise

    def close(self) -> None:
        """Lets go of the log; to be called once."""
        self._log.release()

    @property
    def offset(self) -> int:
        """Where the next chunk begins."""
        return self._cursor.offset

    @property
    def descriptor(self) -> int:
        """One of the descriptors that the log is read through, for judging how many are left."""
        return self._log.reader.index_fd

    @property
    def state(self) -> LogState:
        """The log's state as last seen; `complete` is meaningful when `copy_to` has returned."""
        return self._log.state

    async def digest(self) -> str | None:
        """The SHA-256 of a log that nobody writes any more; None when some of it was dropped.

        Raises:
            CorruptLog: there is less than its header says.
            OSError: the disk fails.
        """
        state = self.state
        if state.gap.end:
            return None
        digest = kept(self._directory) if state.closed else None
        if digest is None:
            digest = await self._log.digest(state.end)
            if state.closed:
                await self._log.in_thread(keep, self._directory, digest)
        return digest

    async def copy_to(self, sink: Sink, *, digests: bool = False) -> None:
        """Writes the output from `offset` on, encoded, until the log is finished and all of it is
        written; the encoder's head and end are the caller's. `digests`: the digest will be asked
        for, and is computed meanwhile.

        Cancelled while it waits for output it loses nothing: called again, it goes on from there.

        Raises:
            OutputDropped: the next byte was dropped, and the encoder marks no gaps. What lies
                before it was flushed.
            WatcherClosed: the watcher was closed, so it is not known whether more comes.
            CorruptLog: the files contradict each other.
            OSError: the disk fails, or the kernel refuses a watch.
        """
        encoder, stream = self._encoder, self._stream
        digests = digests and not (self.state.closed and kept(self._directory))
        files = sink if encoder.is_verbatim and isinstance(sink, FileSink) else None
        while True:
            state = self._log.state if self._follow else self.opening
            if files is not None:
                await self._send_to(files, state)
            try:
                chunks = await self._read(state)
            except OutputDropped as dropped:
                if not encoder.marks_gaps:
                    await sink.flush()
                    raise
                await sink.write(encoder.gap(*self._skip(dropped)))
                continue
            if chunks:
                await sink.write(encoder.encode(chunks))
                if digests:
                    self._hash_on(state)
                if self._cursor.offset < state.size(stream):
                    # A sink that never has to wait would keep the loop from the others.
                    await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
            elif state.closed or not self._follow:
                return
            else:
                # Awaited here: a coroutine around it would be held by each reader while it waits.
                read_on = self._watcher.loop.create_future()
                subscriber = Subscriber(self._cursor.offset, encoder, sink, read_on)
                try:
                    if self._log.join(subscriber, stream):
                        await read_on
                finally:
                    self._log.leave(subscriber)
                    self._cursor.offset = subscriber.offset

    async def next_piece(self) -> bytes | None:
        """What comes next, encoded; perhaps nothing, as the encoder holds it back. None: all that
        there is now was given. For a reader that isn't in a `copy_to`, with gaps marked.

        Raises: as `copy_to`.
        """
        state = self._log.state
        try:
            chunks = await self._read(state)
        except OutputDropped as dropped:
            return self._encoder.gap(*self._skip(dropped))
        if not chunks:
            return None
        self._hash_on(state)
        return self._encoder.encode(chunks)

    def call_on_change(self, bell: Callable[[], None]) -> None:
        """Has `bell` called whenever the log has changed, until `close_silently`."""
        self._log.add_bell(bell)

    def close_silently(self, bell: Callable[[], None]) -> None:
        """Closes, and `bell` is called no more."""
        self._log.remove_bell(bell)
        self.close()

    def refresh(self) -> None:
        """Looks how far the log is, without waiting to be told."""
        self._log.refresh()

    def _begin_at(self, offset: int) -> None:
        encoder, state, stream = self._encoder, self.opening, self._stream
        self._cursor = Cursor(
            self._log.reader, offset, stream, attributed=encoder.needs_attribution
        )
        if state.closed or not self._follow:
            self.length = self._length_to(state.size(stream))
        if encoder.needs_previous and offset:
            encoder.begin_after(self._byte_before(offset))

    def _length_to(self, end: int) -> int | None:
        """Bytes on the wire of all up to `end`, when that is known beforehand."""
        encoder, offset = self._encoder, self._cursor.offset
        if encoder.marks_gaps and _may_lack(self.opening, offset, end, self._stream):
            return None
        return encoder.length(end - offset)

    def _hash_on(self, state: LogState) -> None:
        # In steps: threads cost more than they save for little of it, which is left for the end.
        if state.end - self._log.hashed >= STEP_BYTES and not state.gap.end:
            self._log.hash_on(state.end)

    def _byte_before(self, offset: int) -> bytes:
        """Nothing when it was dropped."""
        try:
            chunks = Cursor(self._log.reader, offset - 1, self._stream).next_chunks(limit=1)
        except OutputDropped:
            return b""
        return chunks[0].data

    async def _send_to(self, sink: FileSink, state: LogState) -> None:
        """Has the sink take from the file what it can."""
        begin, end = self._cursor.offset, state.end
        is_long = self._stream is None and end - begin >= _SENT_BYTES
        if not is_long or not is_fixed(state, begin, end):
            return
        reached = await sink.send_file(self._log.reader, begin, end)
        if reached > begin:
            self._cursor.offset = reached
            self._encoder.begin_after(self._byte_before(reached))

    def _skip(self, dropped: OutputDropped) -> tuple[int, int]:
        """Goes on behind what was dropped; tells what of it this reader wanted."""
        start, until = self._cursor.offset, dropped.until
        if not self._follow:
            until = min(until, self.opening.size(self._stream))
        self._cursor.offset = until
        return start, until

    async def _read(self, state: LogState) -> Sequence[Chunk]:
        try:
            return self._cursor.next_chunks(state, wait=False)
        except BlockingIOError:
            # On a copy: a cancelled caller leaves the thread behind, still reading with it.
            cursor = copy.copy(self._cursor)
            chunks = await self._log.in_thread(cursor.next_chunks, state)
            self._cursor = cursor
            return chunks


def _may_lack(state: LogState, begin: int, end: int, stream: int | None) -> bool:
    """Whether some of what is to be read was dropped, or may be meanwhile."""
    start, until = state.gap.of(stream)
    return max(start, begin) < min(until, end) or (state.limit > 0 and not state.closed)
