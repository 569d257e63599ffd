"""The service's side of the socket: one connection to the supervisor.

JSON goes through msgspec here, at a fifth of the standard library's cost, which is what the
supervisor itself stays with. What msgspec refuses, lone surrogates, the standard library takes.

A connection says by `lost` that it is gone. Requests under way then fail with `ConnectionLost`;
what was merely sent may or may not have arrived, and the supervisor's register is what counts.

A request that is given up (its caller sets the bound) may be carried out when the supervisor wakes;
who must take that back then says how (`on_late`).
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

import msgspec

from service.link.protocol import PROTOCOL, Frames, Message, ProtocolError, encode, frame
from service.link.unread import UnreadTime

# Seconds until the supervisor must have said hello; it says it on accepting.
_HELLO_S: Final = 10.0
# Seconds until a request must have been answered: each takes a callback of the supervisor's, some
# of which wait for a disk.
ANSWER_S: Final = 10.0
# How many bytes the peer hasn't taken out of a socket. Source: linux/sockios.h
_SIOCOUTQ: Final = 0x5411

_INT: Final = struct.Struct("i")
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
        self._late: dict[int, Callable[[Message], None]] = {}  # requests that were given up
        self._rids = itertools.count(1)
        self._unread = UnreadTime(self._loop.time, self._unread_bytes)
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
            self._unread.sending()
            self._transport.write(b"".join(map(framed, messages)))

    def silent_s(self) -> float:
        """For how long what was sent has waited unread; 0 when nothing waits."""
        return self._unread.seconds()

    def _unread_bytes(self) -> int:
        """What the supervisor hasn't taken out of the socket yet, about; 0 where the kernel doesn't
        tell.
        """
        if self._transport is None or self._transport.is_closing():
            return 0
        with suppress(OSError):
            descriptor = self._transport.get_extra_info("socket").fileno()
            return _INT.unpack(fcntl.ioctl(descriptor, _SIOCOUTQ, bytes(_INT.size)))[0]  # type: ignore[no-any-return]
        return 0

    async def request(
        self,
        message: Message,
        *,
        on_late: Callable[[Message], None] | None = None,
    ) -> Message:
        """Send, and wait for the reply. `on_late` is called with a reply that nobody waits for any
        more. Raises: ConnectionLost.
        """
        if not self.is_open:
            raise ConnectionLost("not connected to the supervisor")
        rid = next(self._rids)
        future: asyncio.Future[Message] = self._loop.create_future()
        self._requests[rid] = future
        self.send({**message, "rid": rid})
        try:
            return await future
        except asyncio.CancelledError:
            if on_late is not None:
                if future.cancelled():
                    self._late[rid] = on_late
                elif future.exception() is None:
                    on_late(future.result())  # it came in the same turn of the loop
            raise
        finally:
            self._requests.pop(rid, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._unread.received()
        batch: list[Message] = []
        try:
            for message in self._frames.feed(data):
                if message["t"] == "reply":
                    self._reply(message)
                elif message["t"] == "hello" and not self._hello.done():
                    self._hello.set_result(message)
                else:
                    batch.append(message)
        except ProtocolError:
            self.close()
        if batch:
            self._on_messages(batch)

    def _reply(self, message: Message) -> None:
        rid = message["rid"]
        future = self._requests.get(rid)
        if future is not None and not future.done():
            future.set_result(message)
        elif (on_late := self._late.pop(rid, None)) is not None:
            on_late(message)

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
