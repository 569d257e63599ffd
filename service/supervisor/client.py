"""The service's side of the socket: one connection to the supervisor.

JSON goes through msgspec here, at a fifth of the standard library's cost, which is what the
supervisor itself stays with. What msgspec refuses, lone surrogates, the standard library takes.

A connection says by `lost` that it is gone. Requests under way then fail with `ConnectionLost`;
what was merely sent may or may not have arrived, and the supervisor's register is what counts.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from service.supervisor.protocol import PROTOCOL, Frames, Message, ProtocolError, encode, frame

# Seconds until the supervisor must have said hello; it says it on accepting.
_HELLO_S: Final = 10.0

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


def framed(message: Message) -> bytes:
    """What `encode` gives, in fewer instructions."""
    try:
        return frame(_ENCODER.encode(message))
    except UnicodeEncodeError:
        return encode(message)


def parse(body: bytes) -> Any:
    """What json.loads gives, in fewer instructions. Raises: ValueError."""
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError:
        return json.loads(body)


class ConnectionLost(Exception):
    """The connection to the supervisor is gone."""


class SupervisorConnection(asyncio.Protocol):
    """A connection. Messages that are no replies are handed to `on_messages` in batches, in order,
    as they came out of the socket; `on_lost` is called once, at the end.
    """

    def __init__(
        self,
        on_messages: Callable[[list[Message]], None],
        on_lost: Callable[[SupervisorConnection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._frames = Frames(parse)
        self._transport: asyncio.WriteTransport | None = None
        self._requests: dict[int, asyncio.Future[Message]] = {}
        self._rids = itertools.count(1)
        self._hello: asyncio.Future[Message] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        state_directory: int,
        on_messages: Callable[[list[Message]], None],
        on_lost: Callable[[SupervisorConnection], None],
    ) -> tuple[SupervisorConnection, Message]:
        """Connect below the open directory and wait for the supervisor's hello.

        Raises: OSError, when nobody listens; ConnectionLost, when who accepts is about to end.
        """
        path = f"/proc/self/fd/{state_directory}/supervisor.sock"
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: cls(on_messages, on_lost), path)
        try:
            hello = await asyncio.wait_for(connection._hello, _HELLO_S)  # noqa: SLF001 - its own class
        except TimeoutError as exc:
            connection.close()
            raise ConnectionLost("the supervisor did not say hello") from exc
        return connection, hello

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def introduce(self, role: str, **fields: Any) -> None:
        """Say hello; jobs are handed to connections of the role `worker`."""
        self.send({"t": "hello", "protocol": PROTOCOL, "role": role, "pid": os.getpid(), **fields})

    def send(self, *messages: Message) -> None:
        """Send, and expect no answer. On a lost connection nothing happens."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(map(framed, messages)))

    async def request(self, message: Message) -> Message:
        """Send, and wait for the reply. Raises: ConnectionLost."""
        if not self.is_open:
            raise ConnectionLost("not connected to the supervisor")
        rid = next(self._rids)
        future: asyncio.Future[Message] = self._loop.create_future()
        self._requests[rid] = future
        self.send({**message, "rid": rid})
        try:
            return await future
        finally:
            self._requests.pop(rid, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        batch: list[Message] = []
        try:
            for message in self._frames.feed(data):
                if message["t"] == "reply":
                    future = self._requests.get(message["rid"])
                    if future is not None and not future.done():
                        future.set_result(message)
                elif message["t"] == "hello" and not self._hello.done():
                    self._hello.set_result(message)
                else:
                    batch.append(message)
        except ProtocolError:
            self.close()
        if batch:
            self._on_messages(batch)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        error = ConnectionLost("the connection to the supervisor is gone")
        if not self._hello.done():
            self._hello.set_exception(error)
            return
        for future in self._requests.values():
            if not future.done():
                future.set_exception(error)
        self._on_lost(self)
