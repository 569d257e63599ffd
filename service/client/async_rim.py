"""The rim of `AsyncClient`: carries out the steps of flows in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, Self, TypeVar, cast

import httpx

from service.client.address import Address
from service.client.bodies import Streamed
from service.client.failures import ClientClosed
from service.client.http import (
    FAILURES,
    Verify,
    client_options,
    connected_stream,
    failure_of,
    request_options,
)
from service.client.output import AtOffset
from service.client.searching import Counting
from service.client.steps import Emit, Failure, Flow, Head, Nothing, Open, Pause, Read, Request

T = TypeVar("T")
R = TypeVar("R")


class AsyncConnections:
    """All connections of a client, which any number of tasks of one event loop use.

    `close` ends their waits as a timeout would, and then closes the connections.
    """

    def __init__(self, address: Address, verify: Verify) -> None:
        socket = address.socket
        transport = None if socket is None else httpx.AsyncHTTPTransport(uds=socket)
        self._http = httpx.AsyncClient(**client_options(address, verify), transport=transport)
        self._waits: set[asyncio.Timeout] = set()
        self._unused = asyncio.Event()
        self._is_closed = False

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[None]:
        """While somebody waits for the service. Raises: ClientClosed."""
        if self.is_closed():
            raise ClientClosed
        try:
            async with asyncio.timeout(None) as wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
                    if not self._waits:
                        self._unused.set()
        except TimeoutError:
            if self.is_closed() and wait.expired():
                raise ClientClosed from None
            raise

    def is_closed(self) -> bool:
        return self._is_closed

    async def close(self) -> None:
        """From any task."""
        self._is_closed = True
        if self._waits:
            self._unused.clear()
            for wait in self._waits:
                wait.reschedule(0)
            await self._unused.wait()
        await self._http.aclose()

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251 - what a flow asks for: the service has failed

    async def send(self, request: Request) -> httpx.Response:
        """The response, whose body is to be read."""
        options = request_options(request)
        if isinstance(request.body, Streamed):
            options["content"] = request.body.in_a_loop()
        made = self._http.build_request(**options, extensions={"trace": _trace})
        return await self._http.send(made, stream=True)


async def _trace(event: str, info: Mapping[str, Any]) -> None:
    connected_stream(event, info)


async def _no_bytes() -> AsyncGenerator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


class _Exchange:
    """The request that a flow has open."""

    def __init__(self, connections: AsyncConnections) -> None:
        self._connections = connections
        self._response: httpx.Response | None = None
        self._chunks: AsyncGenerator[bytes] = _no_bytes()

    async def perform(self, step: Open | Read | Pause) -> Head | bytes | Failure | None:
        """What came of it. Raises: ClientClosed."""
        async with self._connections.waiting():
            try:
                match step:
                    case Read():
                        return await anext(self._chunks, b"")
                    case Open(request):
                        await self.end()
                        self._response = await self._connections.send(request)
                        # httpx has annotated an iterator.
                        self._chunks = cast("AsyncGenerator[bytes]", self._response.aiter_raw())
                        return Head(self._response.status_code, self._response.headers)
                    case Pause(seconds):
                        await self.end()
                        await self._connections.pause(seconds)
                        return None
            except FAILURES as exc:
                return failure_of(exc)

    async def end(self) -> None:
        """Give the connection back; one whose response wasn't read to its end is closed."""
        response, self._response = self._response, None
        chunks, self._chunks = self._chunks, _no_bytes()
        # Else the event loop does it, in a task of its own.
        await chunks.aclose()
        if response is not None:
            await response.aclose()


async def run(connections: AsyncConnections, flow: Nothing[R]) -> R:
    """The result of the flow."""
    exchange, answer = _Exchange(connections), None
    try:
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                result: R = end.value
                return result
            answer = await exchange.perform(step)
    finally:
        await exchange.end()


class AsyncReading(Generic[T]):
    """An asynchronous iterator over what comes from the service. It resumes by itself.

    Use it in one task at a time, and close it, or use it as a context, when it isn't read to its
    end. A wait for the next item may be cancelled: the next item is the one that would have come.
    """

    def __init__(self, connections: AsyncConnections, flow: Flow[T, None], at: Any = None) -> None:
        self._exchange = _Exchange(connections)
        self._flow = flow
        self._at = at
        self._answer: Any = None
        self._broken: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            step = await self._next_step()
            if isinstance(step, Emit):
                item: T = step.item
                return item
            # What the flow is told when the wait is cancelled.
            self._answer = Failure("interrupted")
            self._answer = await self._exchange.perform(step)

    async def _next_step(self) -> Open | Read | Pause | Emit[T]:
        if self._broken is not None:
            raise self._broken  # a flow that broke must not look like one that ended
        answer, self._answer = self._answer, None
        try:
            return self._flow.send(answer)
        except StopIteration:
            await self._exchange.end()
            raise StopAsyncIteration from None
        except BaseException as exc:
            self._broken = exc
            await self._exchange.end()
            raise

    async def close(self) -> None:
        """Give the connection back."""
        await self._exchange.end()
        self._flow.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncOutputReading(AtOffset, AsyncReading[T]):
    """Of output: it knows where it is."""


class AsyncSearchReading(Counting, AsyncReading[T]):
    """Of lines that are searched for."""
