"""What a client says over a WebSocket, on its way to the job.

1. Only what the pipe has taken makes room for more: one write at a time is under way, and above
   `_HIGH_BYTES` the client isn't read from. Below that it is, so its pings and its close are seen.
2. Input that nobody reads any more is thrown away, as output and exit code are still to come.
3. A size waits for no input: the last one counts.
4. What came is delivered, also when the client has gone meanwhile: a line of a program that ends at
   once isn't lost. It ends with the job, when the worker stops, or when too much is left in this
   way (`left_input`).
5. Input with an offset is written there or not at all, and answered, each piece in its turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol

from service.api.channels import BadMessage, Code, EndOfInput, Input, Resize, Subprotocol
from service.errors import InputClosed, InputOffset, JobNotRunning, JobrunnerError
from service.web.streaming import StreamAborted

# As much as the supervisor holds for a job that doesn't read.
_HIGH_BYTES: Final = 64 << 10
# What a piece with an offset counts besides its bytes: there may be any number of empty ones.
_PIECE_BYTES: Final = 64


class Job(Protocol):
    """Where it goes; each raises what the engine raises."""

    async def write(self, data: bytes, offset: int | None = None, *, eof: bool = False) -> int: ...
    async def resize(self, rows: int, cols: int) -> None: ...


class Line(Protocol):
    """The connection that it comes from."""

    def close(self, code: int, reason: str) -> None: ...
    async def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class _Waiting:
    """Input that is to be written, in order. What has no offset is joined."""

    __slots__ = ("_data", "_exact", "_exact_bytes")

    def __init__(self) -> None:
        self._data = bytearray()
        self._exact: deque[Input] = deque()
        self._exact_bytes = 0

    def __len__(self) -> int:
        return len(self._data) + self._exact_bytes

    def add(self, given: Input) -> None:
        """Of one client all has offsets, or nothing has."""
        if given.offset is None:
            self._data += given.data
        else:
            self._exact.append(given)
            self._exact_bytes += len(given.data) + _PIECE_BYTES

    def take(self) -> Input | None:
        """What is to be written next; None: nothing is there."""
        if self._exact:
            piece = self._exact.popleft()
            self._exact_bytes -= len(piece.data) + _PIECE_BYTES
            return piece
        if not self._data:
            return None
        data = bytes(self._data[:_HIGH_BYTES])
        del self._data[:_HIGH_BYTES]
        return Input(data)

    def clear(self) -> None:
        self._data.clear()
        self._exact.clear()
        self._exact_bytes = 0


class ClientInput:
    """`received` is called with each message, `deliver` runs meanwhile. `job` None: this client may
    only watch, `why_not` says why.
    """

    def __init__(self, subprotocol: Subprotocol, job: Job | None, why_not: str) -> None:
        self._subprotocol = subprotocol
        self._job = job
        self._why_not = why_not
        self._line: Line | None = None
        self._waiting = _Waiting()
        self._is_at_end = False  # the client has ended it
        self._is_over = False  # nothing more is taken
        self._size: Resize | None = None
        self._has_input = asyncio.Event()
        self._has_size = asyncio.Event()

    def attach(self, line: Line) -> None:
        """Before the first message."""
        self._line = line

    def received(self, message: bytes) -> None:
        """Take one message, without waiting."""
        assert self._line is not None  # noqa: S101 - attached before
        try:
            said = self._subprotocol.read(message)
        except BadMessage as exc:
            self._line.close(exc.code, exc.reason)
            return
        if said is None:
            return
        if isinstance(said, Resize):
            self._size = said
            self._has_size.set()
        elif self._job is None:
            self._line.close(Code.NOT_ALLOWED, self._why_not)
        elif isinstance(said, EndOfInput):
            self._is_at_end = True
        elif self._is_at_end:
            self._line.close(Code.NOT_ALLOWED, "this client has ended the input before")
        elif not self._is_over:
            self._waiting.add(said)
            if len(self._waiting) > _HIGH_BYTES:
                self._line.pause_reading()
        self._has_input.set()

    @property
    def waiting(self) -> int:
        """Bytes that the job hasn't read yet."""
        return len(self._waiting)

    def end(self) -> None:
        """Nothing comes any more: `deliver` returns once all is taken."""
        self._is_over = True
        self._has_input.set()
        self._has_size.set()

    async def deliver(self) -> None:
        """Pass on what comes, until `end`. What can't be closes the connection, which says why."""
        if self._job is None or self._line is None:
            return  # a size of one that watches means nothing either
        await asyncio.gather(
            self._checked(self._deliver_input(self._job, self._line), self._line),
            self._checked(self._deliver_sizes(self._job), self._line),
        )

    async def _checked(self, work: Coroutine[Any, Any, None], line: Line) -> None:
        try:
            await work
        except (JobNotRunning, InputClosed):
            pass  # as of `yes | head -1`: the output goes on, and tells how the job ends
        except JobrunnerError as exc:
            line.close(Code.CUT if exc.status >= 500 else Code.NOT_ALLOWED, exc.detail)
        else:
            return
        self.end()
        self._waiting.clear()
        line.resume_reading()

    async def _deliver_input(self, job: Job, line: Line) -> None:
        while True:
            self._has_input.clear()
            if (piece := self._waiting.take()) is not None:
                await self._write(job, line, piece)
                if len(self._waiting) <= _HIGH_BYTES:
                    line.resume_reading()
            elif self._is_at_end:
                await job.write(b"", eof=True)
                return
            elif self._is_over:
                return
            else:
                await self._has_input.wait()

    async def _write(self, job: Job, line: Line, piece: Input) -> None:
        if piece.offset is None:
            await job.write(piece.data)
            return
        # Nothing at an offset is a question: it is answered, whatever was taken.
        offset = piece.offset if piece.data else None
        is_refused = is_closed = False
        try:
            taken = await job.write(piece.data, offset)
        except InputOffset as exc:
            taken, is_refused = exc.offset, True
        except InputClosed as exc:  # what was taken before is asked about all the same
            taken, is_refused, is_closed = exc.offset, True, True
        answer = self._subprotocol.answer(taken, is_refused=is_refused, is_closed=is_closed)
        with suppress(StreamAborted):  # the client has gone, and asks again if it comes back
            await line.write(answer)

    async def _deliver_sizes(self, job: Job) -> None:
        while True:
            self._has_size.clear()
            if (size := self._size) is not None:
                self._size = None
                await job.resize(size.rows, size.cols)
            elif self._is_over:
                return
            else:
                await self._has_size.wait()
