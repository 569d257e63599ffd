"""Input of clients that have gone is kept for its job, and all of it has a bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from log_readers import turn

from service.api import ws
from service.api.channels import RAW
from service.api.client_input import ClientInput
from service.api.left_input import LeftInput
from service.web.streaming import StreamAborted

pytestmark = pytest.mark.once
KIB = 1024


class Job:
    """Reads nothing until it is told."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.taken = b""

    async def resize(self, rows: int, cols: int) -> None: ...

    async def write(self, data: bytes, offset: int | None = None, *, eof: bool = False) -> int:
        await self.reads.wait()
        self.taken += data
        return len(self.taken)


class Line:
    def close(self, code: int, reason: str) -> None: ...
    async def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Output:
    """Of which the client took nothing: it has gone."""

    async def copy_to(self, _: object) -> None:
        raise StreamAborted("the connection closes")


def speaking(job: Job, data: bytes) -> asyncio.Task[None]:
    came = ClientInput(RAW, job, "")
    came.attach(Line())
    came.received(data)
    nothing: Any = None
    output: Any = Output()
    return asyncio.create_task(ws._speak(nothing, "job", RAW, output, nothing, came))


async def test_what_is_left_is_kept_up_to_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws, "_left", LeftInput(400 * KIB))
    job = Job()
    first = speaking(job, b"a" * 100 * KIB)
    for _ in range(20):
        await turn()
    assert not first.done()
    for _ in range(3):  # too much beside the first one
        with pytest.raises(asyncio.CancelledError):
            await speaking(job, b"b" * 300 * KIB)
    job.reads.set()
    await first
    assert job.taken == b"a" * 100 * KIB
    await speaking(job, b"c" * 300 * KIB)
    assert job.taken.endswith(b"c" * 300 * KIB)
