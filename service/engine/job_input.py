"""The standard input of jobs, whichever worker drives the job: pieces for the supervisor's pipe.

A piece is sent to the supervisor and awaited until the pipe has taken it, so nothing gathers here.
After a lost connection a piece that says its offset is sent again: the supervisor took it whole or
not at all, and its count says which.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable

from service.engine.session import KeptSession
from service.errors import (
    InputClosed,
    InputOffset,
    JobNotRunning,
    NoInput,
    OutcomeUnknown,
    Unavailable,
    UnknownJob,
)
from service.jobs.states import LIVE
from service.link.capabilities import INPUT
from service.link.from_supervisor import InputReply
from service.link.session import ConnectionLost
from service.link.to_supervisor import MAX_INPUT_BYTES, WriteInput
from service.store import Store
from service.store.rows import readable


class JobInputs:
    """The input that callers of one worker write."""

    def __init__(
        self,
        store: Store,
        session: KeptSession,
        wait_started: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._session = session
        self._wait_started = wait_started
        self._waiting: set[asyncio.Timeout] = set()
        self._is_closing = False

    def close(self) -> None:
        """End what waits, however long it would: this worker stops."""
        self._is_closing = True
        for bound in self._waiting:
            bound.reschedule(0)

    async def write(self, job_id: str, data: bytes, offset: int | None, *, eof: bool) -> int:
        """See `Interaction.write_input`."""
        at = 0
        while True:
            piece = data[at : at + MAX_INPUT_BYTES]
            at += len(piece)
            is_last = at >= len(data)
            offset = await self._write(job_id, piece, offset, eof=eof and is_last)
            if is_last:
                return offset

    async def _write(self, job_id: str, piece: bytes, offset: int | None, *, eof: bool) -> int:
        message: WriteInput = {
            "type": "input",
            "job": job_id,
            "data": b64encode(piece).decode("ascii"),
        }
        if eof:
            message["end"] = True
        if offset is not None:
            message["offset"] = offset
        may_be_taken = False
        while True:
            try:
                reply = await self._ask(message)
            except ConnectionLost as exc:
                if offset is None and (piece or eof):
                    raise OutcomeUnknown(
                        "The supervisor was asked to take the input, and its answer didn't come:"
                        " it may have been taken."
                    ) from exc
                may_be_taken = True
                continue
            if reply["ok"] or (may_be_taken and _is_taken(reply, offset, piece)):
                return reply["offset"]
            await self._refused(job_id, reply)

    async def _ask(self, message: WriteInput) -> InputReply:
        if self._is_closing:
            raise Unavailable("This worker is stopping.")
        try:
            async with asyncio.timeout(None) as bound:
                self._waiting.add(bound)
                try:
                    session = await self._session.current()
                    if INPUT not in self._session.hello["capabilities"]:
                        raise NoInput(message["job"])  # an older one runs no job that has
                    return await session.request(message)
                finally:
                    self._waiting.discard(bound)
        except TimeoutError as exc:
            raise Unavailable("This worker is stopping.") from exc

    async def _refused(self, job_id: str, reply: InputReply) -> None:
        """Returns when the piece may be sent again."""
        match reply["why"]:
            case "no_room":
                return
            case "pending":
                self._check_record(job_id)
                await self._wait_started(job_id)
            case "no_input":
                raise NoInput(job_id)
            case "offset":
                raise InputOffset(job_id, reply["offset"])
            case "closed":
                raise InputClosed(job_id, reply["offset"])
            case "ended":
                raise InputClosed(job_id, reply["offset"])
            case "unknown_job":
                self._check_record(job_id)
                raise Unavailable(f"The job {job_id} is being recovered.")

    def _check_record(self, job_id: str) -> None:
        record = self._store.get(job_id)
        if record is None:
            raise UnknownJob(job_id)
        if not readable(record)[1].has_input:
            raise NoInput(job_id)
        if record.state not in LIVE:
            if (taken := record.input_bytes) is not None:
                raise InputClosed(job_id, taken)
            raise JobNotRunning(
                f"The job {job_id} is {record.state.value}: it reads no input any more."
            )


def _is_taken(reply: InputReply, offset: int | None, piece: bytes) -> bool:
    """The piece was sent at that offset before, and this is the reply to a repeat."""
    if offset is None or reply["why"] != "offset":
        return False
    return reply["offset"] == offset + len(piece)
