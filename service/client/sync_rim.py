"""The rim of `Client`: carries out the steps of flows with blocking I/O."""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Generic, NoReturn, Self, TypeVar

import httpx

from service.client.address import Address
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


class Connections:
    """All connections of a client, which any number of threads use.

    `close` wakes whoever waits for one: a blocked read ends when its socket is shut down, not when
    the descriptor is closed. The descriptors are closed by the last one who uses them.
    """

    def __init__(self, address: Address, verify: Verify) -> None:
        transport = None if address.socket is None else httpx.HTTPTransport(uds=address.socket)
        self._http = httpx.Client(**client_options(address, verify), transport=transport)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._users = 0
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def is_closed(self) -> bool:
        return self._closed.is_set()

    @contextmanager
    def used(self) -> Iterator[None]:
        """While somebody uses them. Raises: ClientClosed."""
        with self._lock:
            if self.is_closed():
                raise ClientClosed
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                is_last = self.is_closed() and not self._users
            if is_last:
                self._http.close()

    def close(self) -> None:
        """From any thread."""
        with self._lock:
            if self.is_closed():
                return
            self._closed.set()
            sockets = list(self._sockets)
            is_unused = not self._users
        for each in sockets:
            _shut_down(each)
        if is_unused:
            self._http.close()

    def pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise ClientClosed

    def send(self, request: Request) -> httpx.Response:
        """The response, whose body is to be read."""
        made = self._http.build_request(
            **request_options(request), extensions={"trace": self._trace}
        )
        return self._http.send(made, stream=True)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if (stream := connected_stream(event, info)) is not None:
            found = stream.get_extra_info("socket")
            with self._lock:
                self._sockets.add(found)
                if self.is_closed():
                    _shut_down(found)


def _shut_down(connected: socket.socket) -> None:
    with suppress(OSError):  # it is closed already, or its peer is gone
        # Not SSLSocket's own, which would take the session away from whoever reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _Exchange:
    """The request that a flow has open."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def perform(self, step: Open | Read | Pause) -> Head | bytes | Failure | None:
        """What came of it. Raises: ClientClosed."""
        try:
            match step:
                case Read():
                    return next(self._chunks, b"")
                case Open(request):
                    self.end()
                    self._response = self._connections.send(request)
                    self._chunks = self._response.iter_raw()
                    return Head(self._response.status_code, self._response.headers)
                case Pause(seconds):
                    self.end()
                    self._connections.pause(seconds)
                    return None
        except FAILURES as exc:
            if self._connections.is_closed():
                raise ClientClosed from None
            return failure_of(exc)
        except RuntimeError:
            self._raise_closed()

    def end(self) -> None:
        """Give the connection back; one whose response wasn't read to its end is closed."""
        response, self._response = self._response, None
        self._chunks = iter(())
        if response is not None:
            response.close()

    def _raise_closed(self) -> NoReturn:
        # httpx says so, where another thread closed the client a moment ago.
        if self._connections.is_closed():
            raise ClientClosed from None
        raise  # noqa: PLE0704 - called where it is handled


def run(connections: Connections, flow: Nothing[R]) -> R:
    """The result of the flow."""
    exchange, answer = _Exchange(connections), None
    with connections.used():
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    result: R = end.value
                    return result
                answer = exchange.perform(step)
        finally:
            exchange.end()


class Reading(Generic[T]):
    """An iterator over what comes from the service. It resumes by itself.

    Use it in one thread at a time. `close()`, or the end of a `with` block, gives its connection
    back; leaving the loop does, too. An exception that breaks into it (Ctrl-C) does no harm: the
    next item is the one that would have come.
    """

    def __init__(self, connections: Connections, flow: Flow[T, None], at: Any = None) -> None:
        self._connections = connections
        self._exchange = _Exchange(connections)
        self._flow = flow
        self._at = at
        self._answer: Head | bytes | Failure | None = None
        self._broken: BaseException | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        with self._connections.used():
            while True:
                step = self._next_step()
                if isinstance(step, Emit):
                    item: T = step.item
                    return item
                # What the flow is told when an exception breaks into the wait.
                self._answer = Failure("interrupted")
                self._answer = self._exchange.perform(step)

    def _next_step(self) -> Open | Read | Pause | Emit[T]:
        if self._broken is not None:
            raise self._broken  # a flow that broke must not look like one that ended
        answer, self._answer = self._answer, None
        try:
            return self._flow.send(answer)
        except StopIteration:
            self._exchange.end()
            raise
        except BaseException as exc:
            self._broken = exc
            self._exchange.end()
            raise

    def close(self) -> None:
        """Give the connection back."""
        self._exchange.end()
        self._flow.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):  # at the end of the interpreter there may be nothing left
            self.close()


class OutputReading(AtOffset, Reading[T]):
    """Of output: it knows where it is."""


class SearchReading(Counting, Reading[T]):
    """Of lines that are searched for."""
