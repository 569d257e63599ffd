"""A streaming response over a real connection: how it begins, waits and ends."""

from __future__ import annotations

import asyncio

import pytest
from loops import on_both_loops
from stream_server import stream_server

from service.web.streaming import StreamAborted

BLOCK = b"block of output\n" * 4096


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop


@on_both_loops
async def test_a_body_of_unknown_length_comes_in_chunks_and_ends():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        assert b"x-one: 1" in head.lower()
        await response.write(b"one")
        assert response.try_write(b"two")
        await response.write(BLOCK)
        assert await server.end() is None
        assert await client.chunks() == [b"one", b"two", BLOCK]


@on_both_loops
async def test_a_body_of_known_length_comes_as_it_is():
    async with stream_server(length=6) as (server, client):
        await client.ask()
        response = await server.streams.get()
        assert b"content-length: 6" in (await client.head()).lower()
        await response.write(b"one")
        await response.write(b"two")
        assert await server.end() is None
        assert await client.exactly(6) == b"onetwo"


@pytest.mark.parametrize("length", [None, 3])
@on_both_loops
async def test_the_connection_serves_another_request_after_a_whole_stream(length):
    async with stream_server(length) as (server, client):
        for _ in range(2):
            await client.ask()
            response = await server.streams.get()
            await client.head()
            await response.write(b"one")
            assert await server.end() is None
            body = await client.exactly(3) if length else b"".join(await client.chunks())
            assert body == b"one"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ((), False),
        (("TE: gzip",), False),
        (("TE: xtrailers, trailers2",), False),
        (("TE: trailers",), True),
        (("TE: gzip;q=0.5, Trailers",), True),
        (("TE: gzip", "te: trailers"), True),
    ],
)
@on_both_loops
async def test_trailers_are_for_those_who_ask_for_them(fields, wanted):
    async with stream_server() as (server, client):
        for _ in range(2):  # the connection serves another request behind them
            await client.ask("GET", "1.1", *fields)
            response = await server.streams.get()
            head = (await client.head()).lower()
            assert (b"\r\ntrailer: x-two, x-three\r\n" in head) == wanted
            await response.write(b"one")
            assert response.takes_trailers == wanted
            if wanted:
                response.trailers = {"X-Two": "2", "X-Three": "a b"}
            assert await server.end() is None
            assert await client.until(b"0\r\n") == b"3\r\none\r\n0\r\n"
            expected = b"X-Two: 2\r\nX-Three: a b\r\n\r\n" if wanted else b"\r\n"
            assert await client.exactly(len(expected)) == expected


@pytest.mark.parametrize(
    ("length", "method", "version"),
    [(3, "GET", "1.1"), (None, "HEAD", "1.1"), (None, "GET", "1.0")],
)
@on_both_loops
async def test_what_is_not_chunked_has_no_trailers(length, method, version):
    async with stream_server(length) as (server, client):
        await client.ask(method, version, "TE: trailers")
        response = await server.streams.get()
        assert b"trailer:" not in (await client.head()).lower()
        assert not response.takes_trailers
        await response.write(b"one")
        assert await server.end() is None


@on_both_loops
async def test_a_stream_that_is_cut_has_no_trailers():
    async with stream_server() as (server, client):
        await client.ask("GET", "1.1", "TE: trailers")
        response = await server.streams.get()
        await client.head()
        response.trailers = {"X-Two": "2"}
        assert await server.end(OSError("gone")) is not None
        assert await client.rest() == b""


@on_both_loops
async def test_the_status_is_the_one_that_was_given():
    async with stream_server(status=206) as (server, client):
        await client.ask()
        await server.streams.get()
        assert (await client.head()).startswith(b"HTTP/1.1 206 ")
        await server.end()


@on_both_loops
async def test_no_bytes_are_no_end():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        await response.write(b"")
        assert response.try_write(b"")
        await response.write(b"more")
        await server.end()
        assert await client.chunks() == [b"more"]


@on_both_loops
async def test_an_error_cuts_the_stream_before_its_end():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        await response.write(b"half")
        await response.flush()
        assert str(await server.end(ValueError("broken"))) == "broken"
        with pytest.raises((EOFError, ConnectionResetError)):
            await client.chunks()


@on_both_loops
async def test_what_was_flushed_arrives_though_the_stream_is_cut():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        written = 0
        while response.try_write(BLOCK):
            written += 1
        flushed = asyncio.create_task(response.flush())
        await turns()
        assert not flushed.done()
        body = b""
        while not flushed.done():
            body += await client.exactly(1000)
        await server.end(ValueError())
        frame = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)
        assert body + await client.rest() == frame * written


@on_both_loops
async def test_a_body_that_is_shorter_than_told_is_cut():
    async with stream_server(length=10) as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        await response.write(b"one")
        assert isinstance(await server.end(), StreamAborted)
        with pytest.raises((EOFError, ConnectionResetError)):
            await client.exactly(10)


@on_both_loops
async def test_http_1_0_gets_no_chunks_and_the_end_of_the_connection():
    async with stream_server() as (server, client):
        await client.ask(version="1.0")
        response = await server.streams.get()
        head = (await client.head()).lower()
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        await response.write(b"one")
        await response.write(b"two")
        assert await server.end() is None
        assert await client.rest() == b"onetwo"


@on_both_loops
async def test_http_1_0_is_cut_by_a_reset():
    async with stream_server() as (server, client):
        await client.ask(version="1.0")
        response = await server.streams.get()
        await client.head()
        await response.write(b"one")
        await server.end(ValueError())
        with pytest.raises(ConnectionResetError):
            await client.rest()


@pytest.mark.parametrize("length", [None, 3])
@on_both_loops
async def test_head_has_the_head_and_no_body(length):
    async with stream_server(length) as (server, client):
        await client.ask("HEAD")
        response = await server.streams.get()
        await client.head()
        await response.write(b"one")
        assert await server.end() is None
        await client.ask("HEAD")
        await server.streams.get()
        assert (await client.head()).startswith(b"HTTP/1.1 200 OK\r\n")
        await server.end()


@on_both_loops
async def test_a_slow_client_is_waited_for_and_gets_everything():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        sent = 0
        while response.try_write(BLOCK):
            sent += 1
        assert sent * len(BLOCK) < 4 << 20  # what the kernel and the transport keep
        assert not response.try_write(BLOCK)
        writing = asyncio.create_task(response.write(b"last"))
        await turns()
        assert not writing.done()
        reading = asyncio.create_task(client.chunks())
        await writing
        await server.end()
        assert await reading == [BLOCK] * sent + [b"last"]


@on_both_loops
async def test_a_client_that_goes_ends_the_stream():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        while response.try_write(BLOCK):
            pass
        client.leave()
        assert isinstance(await server.left.get(), asyncio.CancelledError)
        assert not response.try_write(b"more")
        with pytest.raises(StreamAborted):
            await response.write(b"more")
        await response.flush()


@on_both_loops
async def test_a_worker_that_stops_aborts_what_is_open():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        assert len(server.open_streams) == 1
        server.open_streams.abort()
        with pytest.raises((EOFError, ConnectionResetError)):
            await client.chunks()
        assert isinstance(await server.left.get(), asyncio.CancelledError)
        assert len(server.open_streams) == 0
        assert not response.try_write(b"more")


@on_both_loops
async def test_data_that_is_given_to_many_is_framed_once():
    async with stream_server() as (server, client):
        await client.ask()
        response = await server.streams.get()
        await client.head()
        line = b"a line\n"
        response.try_write(line)
        framed = server.open_streams.chunk
        response.try_write(line)
        assert server.open_streams.chunk is framed
        await response.write(bytes(line + b"other"))
        await server.end()
        assert await client.chunks() == [line, line, line + b"other"]
