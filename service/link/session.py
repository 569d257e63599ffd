"""The service's side of the socket: one session with the supervisor.

A session says by `on_lost` that its connection is gone. Requests under way then fail with
`ConnectionLost`; what was merely sent may or may not have arrived, and the supervisor's register is
what counts.

The supervisor may still carry out a request whose caller has given up (each caller sets its own
timeout). A caller that must undo that passes `on_late`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from typing import Any, Final, Protocol, cast, overload

from service.link.fast_json import framed, parse
from service.link.frames import Frames, ProtocolError
from service.link.from_supervisor import (
    AnyReply,
    ClaimReply,
    DrainingChanged,
    DrainReply,
    EndKeptReply,
    InputReply,
    Notification,
    OrphanedLogReply,
    PriorityReply,
    ProcessesReply,
    Reply,
    ResizeReply,
    SignalReply,
    SupervisorHello,
    UsageReply,
    WaitsReply,
)
from service.link.inbound import check_hello, notification
from service.link.protocol import PROTOCOL
from service.link.to_supervisor import (
    Claim,
    CloseOrphanedLog,
    Drain,
    EndKept,
    Hello,
    Kill,
    ListProcesses,
    MakeLog,
    MeasureUsage,
    Resize,
    Resume,
    Role,
    SendSignal,
    SetPriority,
    Shutdown,
    ToSupervisor,
    Unhold,
    Upgrade,
    WaitsForInput,
    WriteInput,
)
from service.link.unread import UnreadTime, unread_in
from service.link.validation import InvalidMessage
from service.paths import SUPERVISOR_SOCKET

# Seconds until the supervisor must have said hello; it says it on accepting.
_HELLO_TIMEOUT_S: Final = 10.0
# Seconds until a request must have been answered: each takes a callback of the supervisor's, some
# of which wait for a disk.
REPLY_TIMEOUT_S: Final = 10.0


class ConnectionLost(Exception):
    """The connection to the supervisor is gone."""


class RequestRejected(Exception):
    """The supervisor didn't understand a request; the message says why."""


class OtherProtocol(Exception):
    """The supervisor speaks another protocol than this release; the message says which."""


class Requests(Protocol):
    """What a recovery asks: sends a request and waits for the reply to it."""

    @overload
    async def __call__(self, message: Claim) -> ClaimReply: ...
    @overload
    async def __call__(self, message: CloseOrphanedLog) -> OrphanedLogReply: ...
    @overload
    async def __call__(self, message: Kill) -> Reply: ...


class SupervisorSession(asyncio.Protocol):
    """A connection. Notifications are handed to `on_messages` in batches, in order, as they came
    out of the socket; `on_lost` is called once, at the end. `draining_since`: when a drain began,
    in nanoseconds since the epoch; None: there is none.
    """

    def __init__(
        self,
        on_messages: Callable[[list[Notification]], None],
        on_lost: Callable[[SupervisorSession], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._frames = Frames(parse)
        self.draining_since: int | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._requests: dict[int, asyncio.Future[AnyReply]] = {}
        self._late: dict[int, Callable[[AnyReply], None]] = {}  # requests that were given up
        self._request_ids = itertools.count(1)
        self._unread = UnreadTime(self._loop.time, self._unread_bytes)
        self._hello: asyncio.Future[SupervisorHello] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        state_directory: int,
        on_messages: Callable[[list[Notification]], None],
        on_lost: Callable[[SupervisorSession], None],
    ) -> tuple[SupervisorSession, SupervisorHello]:
        """Connect below the open directory and wait for the supervisor's hello.

        Raises: OSError, when nobody listens; ConnectionLost, when the supervisor is about to exit;
        OtherProtocol.
        """
        path = f"/proc/self/fd/{state_directory}/{SUPERVISOR_SOCKET}"
        loop = asyncio.get_running_loop()
        _, session = await loop.create_unix_connection(lambda: cls(on_messages, on_lost), path)
        try:
            # Not wait_for: that of Python 3.11 forgets a cancellation that comes with the result.
            async with asyncio.timeout(_HELLO_TIMEOUT_S):
                hello = await session._hello  # noqa: SLF001 - its own class
        except TimeoutError as exc:
            session.close()
            raise ConnectionLost("the supervisor did not say hello") from exc
        if hello.get("protocol") != PROTOCOL:
            session.close()
            raise OtherProtocol(
                f"the supervisor that runs speaks protocol {hello.get('protocol')}, this release"
                f" protocol {PROTOCOL}: stop it with the release that it belongs to"
            )
        try:
            check_hello(hello)
        except InvalidMessage as exc:
            session.close()
            raise OtherProtocol(f"the supervisor that runs isn't understood: {exc}") from exc
        return session, hello

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def introduce(
        self, role: Role, *, heartbeats: bool = False, max_running: int = 0, max_pending: int = 0
    ) -> None:
        """Say hello. A `worker` is handed jobs, and passes the service's bounds along."""
        hello: Hello = {"type": "hello", "protocol": PROTOCOL, "role": role, "pid": os.getpid()}
        if role == "worker":
            hello["heartbeats"] = heartbeats
            hello["max_running"] = max_running
            hello["max_pending"] = max_pending
        self.send(hello)

    def send(self, *messages: ToSupervisor) -> None:
        """Send, and expect no answer. On a lost connection nothing happens."""
        if self._transport is not None and not self._transport.is_closing():
            self._unread.sending()
            self._transport.write(b"".join(map(framed, messages)))

    def silent_s(self) -> float:
        """For how long what was sent has waited unread; 0 when nothing waits."""
        return self._unread.seconds()

    def _unread_bytes(self) -> int:
        if self._transport is None or self._transport.is_closing():
            return 0
        return unread_in(self._transport.get_extra_info("socket"))

    @overload
    async def request(
        self, message: Claim, *, on_late: Callable[[ClaimReply], None] | None = None
    ) -> ClaimReply: ...
    @overload
    async def request(self, message: CloseOrphanedLog) -> OrphanedLogReply: ...
    @overload
    async def request(self, message: EndKept) -> EndKeptReply: ...
    @overload
    async def request(self, message: SetPriority) -> PriorityReply: ...
    @overload
    async def request(self, message: SendSignal) -> SignalReply: ...
    @overload
    async def request(self, message: WriteInput) -> InputReply: ...
    @overload
    async def request(self, message: Resize) -> ResizeReply: ...
    @overload
    async def request(self, message: MeasureUsage) -> UsageReply: ...
    @overload
    async def request(self, message: ListProcesses) -> ProcessesReply: ...
    @overload
    async def request(self, message: WaitsForInput) -> WaitsReply: ...
    @overload
    async def request(self, message: Drain) -> DrainReply: ...
    @overload
    async def request(
        self, message: Kill | MakeLog | Resume | Shutdown | Unhold | Upgrade
    ) -> Reply: ...
    async def request(self, message: Any, *, on_late: Callable[..., None] | None = None) -> Any:
        """Send, and wait for the reply. `on_late` is called with a reply that nobody waits for any
        more. Raises: ConnectionLost, RequestRejected.
        """
        if not self.is_open:
            raise ConnectionLost("not connected to the supervisor")
        request_id = next(self._request_ids)
        future: asyncio.Future[AnyReply] = self._loop.create_future()
        self._requests[request_id] = future
        self.send(cast("ToSupervisor", {**message, "request_id": request_id}))
        try:
            return await future
        except asyncio.CancelledError:
            if on_late is not None:
                if future.cancelled():
                    self._late[request_id] = on_late
                elif future.exception() is None:
                    on_late(future.result())  # it came in the same turn of the loop
            raise
        finally:
            self._requests.pop(request_id, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._unread.received()
        batch: list[Notification] = []
        try:
            for message in self._frames.feed(data):
                self._take(message, batch)
        except ProtocolError:
            self.close()
        if batch:
            self._on_messages(batch)

    def _take(self, message: dict[str, Any], batch: list[Notification]) -> None:
        match message["type"]:
            case "reply":
                self._reply(cast("AnyReply", message))
            case "rejected" if (request_id := message.get("request_id")) is not None:
                self._reject(request_id, str(message.get("error")))
            case "draining_changed":
                self.draining_since = cast("DrainingChanged", message)["since"]
            case "hello" if not self._hello.done():
                self.draining_since = message.get("draining")
                self._hello.set_result(cast("SupervisorHello", message))
            case _ if (known := notification(message)) is not None:
                batch.append(known)

    def _reply(self, reply: AnyReply) -> None:
        request_id = reply["request_id"]
        future = self._requests.get(request_id)
        if future is not None and not future.done():
            future.set_result(reply)
        elif (on_late := self._late.pop(request_id, None)) is not None:
            on_late(reply)

    def _reject(self, request_id: int, error: str) -> None:
        future = self._requests.get(request_id)
        if future is not None and not future.done():
            future.set_exception(RequestRejected(error))
        elif (on_late := self._late.pop(request_id, None)) is not None:
            on_late({"type": "reply", "request_id": request_id, "ok": False})

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
