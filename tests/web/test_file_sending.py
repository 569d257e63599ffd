"""A streaming response that takes bytes from a file, over a real connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_readers import turn
from loops import on_both_loops
from stream_server import Client, stream_server

from service.errors import CorruptLog
from service.output.index import LogState
from service.output.log_files import LogFiles
from service.output.reader import LogReader
from service.output.sink import FileSource
from service.web.streaming import StreamAborted

DATA = os.urandom(3_000_001)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogReader]:
    directory = tmp_path_factory.mktemp("log")
    LogFiles.create(directory, LogState(len(DATA), len(DATA), closed=True, complete=True)).close()
    (directory / "output").write_bytes(DATA)
    with LogReader.open(directory) as opened:
        yield opened


class InMemoryUpTo:
    """The log, of which only the beginning is in memory."""

    def __init__(self, source: FileSource, end: int) -> None:
        self._source = source
        self._end = end

    def in_memory(self, offset: int, limit: int) -> int:
        return self._source.in_memory(offset, max(0, min(limit, self._end - offset)))

    def send_now(self, descriptor: int, offset: int, limit: int) -> int | None:
        if offset >= self._end:
            return None
        return self._source.send_now(descriptor, offset, min(limit, self._end - offset))


class GoneBehind(InMemoryUpTo):
    """The log, whose bytes behind a place leave memory when they have been announced."""

    def in_memory(self, offset: int, limit: int) -> int:
        return self._source.in_memory(offset, limit)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await turn()


async def reading(client: Client, count: int) -> asyncio.Task[bytes]:
    return asyncio.create_task(client.exactly(count))


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 1), (7, 4096), (1, 262_145), (4095, 2_000_000), (0, len(DATA))]
)
@on_both_loops
async def test_bytes_of_the_file_come_after_those_that_were_written(
    reader: LogReader, begin: int, end: int
) -> None:
    before = b"before" * 50_000
    length = len(before) + end - begin
    async with stream_server(length) as (server, client):
        for _ in range(2):  # the connection serves another request behind them
            await client.ask()
            response = await server.streams.get()
            await client.head()
            read = await reading(client, length)
            await response.write(before)
            descriptors = open_descriptors()
            assert await response.send_file(reader, begin, end) == end
            assert open_descriptors() == descriptors
            assert await server.end() is None
            assert await read == before + DATA[begin:end]


@on_both_loops
async def test_what_is_not_in_memory_is_left_to_be_written(reader: LogReader) -> None:
    async with stream_server(1_000_000) as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        read = await reading(client, 1_000_000)
        for place in (0, 300_000, 600_000):
            known = InMemoryUpTo(reader, place)
            reached = await response.send_file(known, max(0, place - 200_000), 1_000_000)
            assert reached == place
            await response.write(DATA[place : place + 100_000])
        assert await response.send_file(reader, 700_000, 1_000_000) == 1_000_000
        assert await server.end() is None
        assert await read == DATA[:1_000_000]


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 1), (7, 4096), (1, 262_145), (4095, 2_000_000), (0, len(DATA))]
)
@on_both_loops
async def test_chunks_come_between_those_that_were_written(
    reader: LogReader, begin: int, end: int
) -> None:
    before = b"before" * 50_000
    async with stream_server() as (server, client):
        for _ in range(2):  # the connection serves another request behind them
            await client.ask()
            response = await server.streams.get()
            await client.head()
            read = asyncio.create_task(client.chunks())
            await response.write(before)
            descriptors = open_descriptors()
            assert await response.send_file(reader, begin, end) == end
            assert open_descriptors() == descriptors
            await response.write(b"after")
            assert await response.send_file(reader, begin, end) == end
            assert await server.end() is None
            assert b"".join(await read) == before + DATA[begin:end] + b"after" + DATA[begin:end]


@pytest.mark.parametrize("step", [1, 100_000, 1 << 20])
@on_both_loops
async def test_what_left_memory_after_it_was_announced_is_written(
    reader: LogReader, step: int
) -> None:
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        read = asyncio.create_task(client.chunks())
        reached = await response.send_file(GoneBehind(reader, 1_300_000), 0, 2_000_000)
        assert reached == 1_300_000
        # The chunk that has begun holds what is written next, and no other file's bytes.
        assert await response.send_file(reader, reached, 2_000_000) == reached
        for place in range(reached, 1_400_000, step) if step > 1 else range(reached, reached + 9):
            await response.write(DATA[place : place + step])
            reached = place + step
        await response.write(DATA[reached:2_500_000])
        assert await response.send_file(reader, 2_500_000, len(DATA)) == len(DATA)
        assert await server.end() is None
        assert b"".join(await read) == DATA


@on_both_loops
async def test_a_chunk_that_is_not_complete_is_no_end(reader: LogReader) -> None:
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        read = asyncio.create_task(client.rest())
        assert await response.send_file(GoneBehind(reader, 5000), 0, 9000) == 5000
        assert isinstance(await server.end(), StreamAborted)
        _, _, body = (await read).partition(b"\r\n\r\n")
        assert body == b"2328\r\n" + DATA[:5000]  # 9000 were announced


@on_both_loops
async def test_a_client_of_chunks_that_leaves_ends_it(reader: LogReader) -> None:
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        sending = asyncio.create_task(response.send_file(reader, 0, len(DATA)))
        await client.head()
        await client.exactly(1000)
        client.leave()
        with pytest.raises(StreamAborted):
            await sending
        assert await server.left.get() is not None


@on_both_loops
async def test_who_reads_nothing_is_waited_for_and_keeps_nobody(reader: LogReader) -> None:
    async with stream_server(len(DATA)) as (server, client):
        await client.ask()
        response = await server.streams.get()
        sending = asyncio.create_task(response.send_file(reader, 0, len(DATA)))
        await turns()
        assert not sending.done()
        async with stream_server(len(DATA)) as (second, other):
            await other.ask()
            answer = await second.streams.get()
            await other.head()
            read = await reading(other, len(DATA))
            assert await answer.send_file(reader, 0, len(DATA)) == len(DATA)
            assert await read == DATA
        assert not sending.done()
        await client.head()
        assert await client.exactly(len(DATA)) == DATA
        assert await sending == len(DATA)


@on_both_loops
async def test_a_client_that_leaves_ends_it(reader: LogReader) -> None:
    async with stream_server(len(DATA)) as (server, client):
        await client.ask()
        response = await server.streams.get()
        descriptors = open_descriptors()
        sending = asyncio.create_task(response.send_file(reader, 0, len(DATA)))
        await client.head()
        await client.exactly(1000)
        client.leave()
        with pytest.raises(StreamAborted):
            await sending
        assert await server.left.get() is not None
        await turns()
        assert open_descriptors() == descriptors - 2  # both ends of the connection are closed


@on_both_loops
async def test_an_abort_meanwhile_leaves_nothing_that_looks_whole(reader: LogReader) -> None:
    async with stream_server(len(DATA)) as (server, client):
        await client.ask()
        response = await server.streams.get()
        sending = asyncio.create_task(response.send_file(reader, 0, len(DATA)))
        await turns()
        server.open_streams.abort()
        assert isinstance(await server.left.get(), asyncio.CancelledError)
        sending.cancel()  # in the service it is a part of the handler
        await asyncio.wait([sending])
        await client.head()
        assert len(await client.rest()) < len(DATA)


@on_both_loops
async def test_a_file_that_is_too_short_is_an_error(tmp_path: Path) -> None:
    LogFiles.create(tmp_path / "log", LogState(10, 10, closed=True, complete=True)).close()
    (tmp_path / "log" / "output").write_bytes(b"12345")
    async with stream_server(10) as (server, client):
        await client.ask()
        response = await server.streams.get()
        with LogReader.open(tmp_path / "log") as short, pytest.raises(CorruptLog):
            await response.send_file(short, 0, 10)
        assert isinstance(await server.end(), StreamAborted)
        await client.head()
        assert await client.rest() == b"12345"
