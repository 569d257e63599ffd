"""A WebSocket as a sink for output and a source of messages, on a connection of Sanic's.

Parsing is `websockets`' own, without I/O. Sanic's layer around it isn't used: each read of it
becomes a task, a message that nobody takes holds back the pongs behind it, whose absence then ends
the connection, and it buffers without a bound for a client that pings and reads nothing.

1. Output comes as whole frames (`service.output.formats.websocket`), which go to the transport as
   they are, between those of the protocol. Nothing but the end of the handshake follows a close.
2. What a client says is given to `on_message`, which must not wait; it calls `pause_reading` while
   it can't take more. A message has at most `MAX_MESSAGE_BYTES`. Nothing is compressed.
3. Pings keep proxies from ending a silent connection. A client that is gone is found as for other
   streams (`dead_peers`): one that reads nothing may be there.
4. Every end but the task's own goes through the loss of the connection, which cancels the task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from sanic import HTTPResponse
from sanic.compat import Header
from sanic.headers import format_http1_response
from sanic.http.constants import Stage
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from service.metrics.series import WEBSOCKET
from service.web.connection import connection_of
from service.web.dead_peers import is_dead
from service.web.intake import Intake
from service.web.request import Request
from service.web.streaming import StreamAborted, bound_send_buffer

MAX_MESSAGE_BYTES: Final = 1 << 20
# Seconds between two pings: many proxies end what is silent for 30 to 60.
PING_S: Final = 20.0
# Seconds for a client to answer a close that ends what it hasn't asked to end. Below the three
# that connections have when a worker stops.
_CLOSE_S: Final = 2.0
# Seconds for it to answer the close behind the last output, all of which it has been sent.
_END_S: Final = 5.0
# Bytes of a reason: a control frame has 125. Source: RFC 6455, section 5.5.
_MAX_REASON_BYTES: Final = 123
_NORMAL, _GOING_AWAY, _INVALID, _NOT_ALLOWED = 1000, 1001, 1007, 1008
_SENT: Final = Header()

# The library tells of each connection: the access log does.
_quiet = logging.getLogger("jobrunner.websocket")
_quiet.setLevel(logging.ERROR)


class WebSocket:
    """Entered, it sends the 101. Meanwhile it stands in `app.ctx.open_streams`."""

    __slots__ = (
        "_can_write",
        "_connection",
        "_fragments",
        "_http",
        "_intake",
        "_is_complete",
        "_is_open",
        "_is_text",
        "_on_message",
        "_ping",
        "_protocol",
        "_request",
        "_response",
        "_sent",
        "_streams",
        "_task",
        "_transport",
    )

    format_name: Final = WEBSOCKET

    def __init__(
        self, request: Request, headers: dict[str, str], on_message: Callable[[bytes], None]
    ) -> None:
        """`headers` are those of the handshake, and others."""
        self._request: Any = request
        self._http: Any = request.stream
        self._connection = connection = connection_of(request)
        self._can_write = connection.can_write
        self._transport: Any = connection.transport
        self._on_message = on_message
        self._response: Any = HTTPResponse(status=101, headers=headers, content_type=None)
        self._streams = request.app.ctx.open_streams
        self._protocol = Protocol(Side.SERVER, max_size=MAX_MESSAGE_BYTES, logger=_quiet)
        self._fragments: list[bytes] = []
        self._is_text = False
        self._is_open = True  # until one of the two sides has said that it closes
        self._intake = Intake(self._transport, self._take)
        self._is_complete = False
        self._sent = 0
        self._ping: asyncio.TimerHandle | None = None
        self._task = asyncio.current_task()

    async def __aenter__(self) -> Self:
        bound_send_buffer(self._transport)
        self._response = await self._request.respond(self._response)
        self._http.response_func = self._send_head
        await self._response.send(b"")
        self._response.headers = _SENT
        self._request.forget_head()
        self._request.streamed_bytes = 0
        self._streams.add(self)
        self._set_ping()
        self._transport.resume_reading()
        self._connection.upgrade(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._ping is not None:
            self._ping.cancel()
        self._streams.discard(self)
        self._request.streamed_bytes = self._sent
        self._request.was_cut = not self._is_complete
        self._http.response_func = None
        self._http.stage = Stage.IDLE
        if kind is not None or not self._is_complete:
            self._transport.abort()

    # A sink

    def try_write(self, data: bytes) -> bool:
        """Send these frames now; False, and nothing is sent, while the client has those before to
        take, and when it is gone.
        """
        transport = self._transport
        if not self._can_write.is_up or not self._is_open or transport.is_closing():
            return False
        if data:
            self._sent += len(data)
            transport.write(data)
        return True

    async def write(self, data: bytes) -> None:
        """Send the frames once the client has taken what was sent before. Raises: StreamAborted."""
        while not self.try_write(data):
            if not self._is_open or self._transport.is_closing():
                raise StreamAborted("the connection closes")
            await self._can_write.wait()

    async def flush(self) -> None:
        """Return once all that was written is with the kernel."""
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(0)  # writing is paused until nothing is left
            await self._can_write.wait()

    # The end

    async def end(self, code: int = _NORMAL, reason: str = "") -> None:
        """Close behind what was written, and wait for the client to do so too, which cancels this.
        A `code` other than 1000 says that the output wasn't whole.
        """
        await self.flush()
        if self._is_open:
            self._is_complete = code == _NORMAL
            self._say_close(code, reason)
        await asyncio.sleep(_END_S)  # noqa: TID251 - a bound on the wait for the client
        self._transport.abort()

    def close(self, code: int, reason: str) -> None:
        """Tell the client why, and end the connection, soon; nothing else is written."""
        if self._is_open:
            self._say_close(code, reason)
            self._abort_soon()

    def refuse(self, reason: str) -> None:
        """The client may not be here any more."""
        self.close(_NOT_ALLOWED, reason)

    def abort(self) -> None:
        """The worker stops, or the client is gone without a word."""
        if self._transport.is_closing():  # what it has said is still being taken
            if self._task is not None:
                self._task.cancel()
        elif self.is_dead():
            self._transport.abort()
        else:
            self.close(_GOING_AWAY, "this worker stops: connect again, with the offset")

    def is_dead(self) -> bool:
        """Whether the client is gone, and hasn't said so."""
        return not self._transport.is_closing() and is_dead(self._transport)

    # What the client says

    def data_received(self, data: bytes | bytearray) -> None:
        """Called by the connection."""
        self._intake.received(data)

    def pause_reading(self) -> None:
        """What the client sends stays with the kernel, and then with the client."""
        if self._is_open:
            self._intake.hold()

    def resume_reading(self) -> None:
        self._intake.release()

    def _take(self, data: bytes) -> int:
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        for event in events:
            if self._is_open and isinstance(event, Frame):
                self._received(event)
        self._send()
        return len(events)

    def _received(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            if frame.data:  # there may be any number of empty ones
                self._fragments.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self._fragments)
                self._fragments.clear()
                if self._is_text and not _is_utf8(message):
                    self.close(_INVALID, "a text message isn't UTF-8")
                else:
                    self._on_message(message)
        elif frame.opcode is Opcode.CLOSE:
            self._is_complete = True  # it wants no more

    def _send(self) -> None:
        """What the protocol has to say."""
        protocol, transport = self._protocol, self._transport
        frames = protocol.data_to_send()
        if transport.is_closing():
            return
        if protocol.state is OPEN and not self._can_write.is_up:
            return  # pongs: one that reads nothing doesn't see them, and they would gather here
        for data in frames:
            if data:
                transport.write(data)
        if protocol.close_rcvd is not None:  # both have said that they close
            self._is_open = False
            transport.close()
            self._abort_soon()
        elif protocol.state is not OPEN and self._is_open:  # the client has broken the protocol
            self._is_open = False
            if transport.can_write_eof():  # a close with unread data might take the reason away
                transport.write_eof()
            self._abort_soon()

    def _say_close(self, code: int, reason: str) -> None:
        self._is_open = False
        self.resume_reading()  # the client's answer stands behind what it has sent before
        short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        self._protocol.send_close(code, short)
        for data in self._protocol.data_to_send():
            self._transport.write(data)

    def _abort_soon(self) -> None:
        """A client that reads nothing would keep a connection that closes open."""
        asyncio.get_running_loop().call_later(_CLOSE_S, self._transport.abort)

    def _set_ping(self) -> None:
        self._ping = asyncio.get_running_loop().call_later(PING_S, self._send_ping)

    def _send_ping(self) -> None:
        # One that has something to read isn't silent.
        if self._is_open and self._can_write.is_up and not self._transport.is_closing():
            self._protocol.send_ping(b"")
            self._send()
        self._set_ping()

    async def _send_head(
        self,
        data: bytes,  # noqa: ARG002 - there is no body; Sanic names both
        end_stream: bool,  # noqa: ARG002, FBT001
    ) -> None:
        """The head of the 101: Sanic refuses to send one."""
        self._http.keep_alive = False
        head = format_http1_response(101, self._response.processed_headers)
        await self._connection.send(head)  # type: ignore[no-untyped-call]
        self._http.stage = Stage.RESPONSE


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True
