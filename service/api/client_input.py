"""What a client says over a WebSocket, on its way to the job.

1. Only what the pipe has taken makes room for more: one write at a time is under way, and above
   `_HIGH_BYTES` the client isn't read from. Below that it is, so its pings and its close are seen.
2. Input that nobody reads any more is thrown away, as output and exit code are still to come.
3. What came is delivered, also when the client has gone meanwhile: a line of a program that ends at
   once isn't lost. It ends with the job, or when the worker stops.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from service.api.channels import BadMessage, Code, EndOfInput, Resize, Subprotocol
from service.errors import InputClosed, JobNotRunning, JobrunnerError

# As much as the supervisor holds for a job that doesn't read.
_HIGH_BYTES: Final = 64 << 10

_log = structlog.get_logger("jobrunner.api")


class Job(Protocol):
    """Where it goes; each raises what the engine raises."""

    async def write(self, data: bytes, *, eof: bool) -> None: ...


class Line(Protocol):
    """The connection that it comes from."""

    def close(self, code: int, reason: str) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class ClientInput:
    """`received` is called with each message, `deliver` runs meanwhile. `job` None: this client may
    only watch, `why_not` says why.
    """

    def __init__(self, subprotocol: Subprotocol, job: Job | None, why_not: str) -> None:
        self._subprotocol = subprotocol
        self._job = job
        self._why_not = why_not
        self._line: Line | None = None
        self._data = bytearray()
        self._is_at_end = False  # the client has ended it
        self._is_over = False  # nothing more is taken
        self._wake: asyncio.Future[None] | None = None

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
        if said is None or isinstance(said, Resize):
            return
        if self._job is None:
            self._line.close(Code.NOT_ALLOWED, self._why_not)
        elif isinstance(said, EndOfInput):
            self._is_at_end = True
        elif self._is_at_end:
            self._line.close(Code.NOT_ALLOWED, "this client has ended the input before")
        elif not self._is_over:
            self._data += said.data
            if len(self._data) > _HIGH_BYTES:
                self._line.pause_reading()
        self._wake_up()

    def end(self) -> None:
        """Nothing comes any more: `deliver` returns once all is taken."""
        self._is_over = True
        self._wake_up()

    async def deliver(self) -> None:
        """Pass on what comes, until `end`. What can't be closes the connection, which says why."""
        if self._job is None or self._line is None:
            return
        try:
            await self._deliver(self._job, self._line)
        except (JobNotRunning, InputClosed):
            pass  # as of `yes | head -1`: the output goes on, and tells how the job ends
        except JobrunnerError as exc:
            code = Code.CUT if exc.status >= 500 else Code.NOT_ALLOWED
            self._line.close(code, exc.detail)
        self._data.clear()
        self._is_over = True
        self._line.resume_reading()

    async def _deliver(self, job: Job, line: Line) -> None:
        while True:
            if self._data:
                piece = bytes(self._data[:_HIGH_BYTES])
                del self._data[:_HIGH_BYTES]
                await job.write(piece, eof=False)
                if len(self._data) <= _HIGH_BYTES:
                    line.resume_reading()
            elif self._is_at_end:
                await job.write(b"", eof=True)
                return
            elif self._is_over:
                return
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
                self._wake = None

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
