"""What every `Sink` has to keep to: the transports of the service, and the fake of the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
from log_readers import FakeSink, turn
from loops import on_both_loops
from stream_server import Client, StreamServer, stream_server

from service.output.sink import Sink

BLOCK = bytes(range(256)) * 256


class Ends(Protocol):
    """A sink, and the reader behind it, who doesn't read until `start_reading`."""

    sink: Sink

    def start_reading(self) -> None: ...
    async def end(self) -> bytes:
        """Ends the stream; all that the reader got."""

    async def leave(self) -> None:
        """The reader goes away."""


class FakeEnds:
    def __init__(self) -> None:
        self.sink = FakeSink()
        self.sink.hold_up()

    def start_reading(self) -> None:
        self.sink.release()

    async def end(self) -> bytes:
        return bytes(self.sink.all)

    async def leave(self) -> None:
        self.sink.leave()


class ResponseEnds:
    def __init__(self, server: StreamServer, client: Client, sink: Sink, *, chunked: bool) -> None:
        self.sink = sink
        self._server = server
        self._client = client
        self._chunked = chunked
        self._reading: asyncio.Task[bytes]

    def start_reading(self) -> None:
        self._reading = asyncio.create_task(self._read())

    async def end(self) -> bytes:
        assert await self._server.end() is None
        return await self._reading

    async def leave(self) -> None:
        self._client.leave()
        await self._server.left.get()

    async def _read(self) -> bytes:
        if self._chunked:
            return b"".join(await self._client.chunks())
        return await self._client.rest()


@asynccontextmanager
async def fake() -> AsyncIterator[Ends]:
    yield FakeEnds()


@asynccontextmanager
async def chunked() -> AsyncIterator[Ends]:
    async with stream_server() as (server, client):
        await client.ask()
        sink = await server.streams.get()
        await client.head()
        yield ResponseEnds(server, client, sink, chunked=True)


@asynccontextmanager
async def http_1_0() -> AsyncIterator[Ends]:
    async with stream_server() as (server, client):
        await client.ask(version="1.0")
        sink = await server.streams.get()
        await client.head()
        yield ResponseEnds(server, client, sink, chunked=False)


Opened = Callable[[], AbstractAsyncContextManager[Ends]]
every_sink = pytest.mark.parametrize("opened", [fake, chunked, http_1_0])


def fill(sink: Sink) -> bytes:
    """Writes until nothing is taken any more; what was."""
    count = 0
    while sink.try_write(BLOCK):
        count += 1
    return BLOCK * count


async def starts_waiting(awaitable: Coroutine[None, None, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(awaitable)
    for _ in range(20):
        await turn()
    assert not task.done()
    return task


@every_sink
@on_both_loops
async def test_what_is_taken_arrives_once_and_in_order(opened: Opened) -> None:
    async with opened() as ends:
        ends.start_reading()
        expected = b""
        for number in range(200):
            data = b"%d " % number * (1 + number * 7 % 50)
            if number % 3 or not ends.sink.try_write(data):
                await ends.sink.write(data)
            expected += data
        assert await ends.end() == expected


@every_sink
@on_both_loops
async def test_what_is_refused_does_not_arrive(opened: Opened) -> None:
    async with opened() as ends:
        taken = fill(ends.sink)
        assert not ends.sink.try_write(b"refused")
        ends.start_reading()
        await ends.sink.write(b"end")
        assert await ends.end() == taken + b"end"


@every_sink
@on_both_loops
async def test_a_cancelled_write_has_taken_nothing(opened: Opened) -> None:
    async with opened() as ends:
        taken = fill(ends.sink)
        writing = await starts_waiting(ends.sink.write(b"cancelled"))
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        ends.start_reading()
        await ends.sink.write(b"end")
        assert await ends.end() == taken + b"end"


@every_sink
@on_both_loops
async def test_empty_data_is_as_good_as_none(opened: Opened) -> None:
    async with opened() as ends:
        ends.start_reading()
        await ends.sink.write(b"")
        assert ends.sink.try_write(b"")
        await ends.sink.write(b"end")
        assert await ends.end() == b"end"


@every_sink
@on_both_loops
async def test_large_data_arrives_whole(opened: Opened) -> None:
    async with opened() as ends:
        ends.start_reading()
        large = BLOCK * 64
        await ends.sink.write(large)
        await ends.sink.write(b"end")
        assert await ends.end() == large + b"end"


@every_sink
@on_both_loops
async def test_one_object_can_be_given_to_several_sinks(opened: Opened) -> None:
    data = b"a line for all\n"
    async with opened() as one, opened() as other:
        for ends in (one, other):
            ends.start_reading()
        for number in range(3):
            for ends in (one, other):
                await ends.sink.write(data)
            await one.sink.write(b"%d" % number)
        assert await one.end() == b"".join(data + b"%d" % number for number in range(3))
        assert await other.end() == data * 3


@every_sink
@on_both_loops
async def test_a_flush_waits_for_what_was_taken(opened: Opened) -> None:
    async with opened() as ends:
        taken = fill(ends.sink)
        flushing = await starts_waiting(ends.sink.flush())
        ends.start_reading()
        await flushing
        assert await ends.end() == taken


@every_sink
@on_both_loops
async def test_a_reader_that_is_gone_is_told_of_and_keeps_nobody(opened: Opened) -> None:
    async with opened() as ends:
        fill(ends.sink)
        await ends.leave()
        assert not ends.sink.try_write(b"more")
        with pytest.raises(Exception, match="gone"):
            await ends.sink.write(b"more")
        await ends.sink.flush()
