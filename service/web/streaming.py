"""An answer whose body is written as it comes, and that never ends cleanly unless it is whole.

Sanic's own `send` copies each chunk into its frame; here the frame and the chunk go to the
transport as they are (1.35 times the throughput on a live attach, twice on a replay). HTTP/1.0
knows no chunks: its body ends with the connection, so a cut is a reset there (SO_LINGER 0), as a
plain close would look like a clean end.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Any, Final, Self

from sanic import HTTPResponse, Request
from sanic.compat import Header
from sanic.headers import format_http1_response
from sanic.http.constants import Stage

from service.output.fanout import MAX_FAN_OUT_BYTES
from service.web.asyncio_compat import write_parts
from service.web.connection import connection_of

# Bytes that the kernel keeps for a client that reads nothing (it doubles the number given); without
# it the buffer grows to 4 MB. At this size the throughput is the same.
_SEND_BUFFER_BYTES: Final = 128 << 10
# In place of the headers of an answer once they are sent: nobody reads them again.
_SENT: Final = Header()
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class StreamAborted(Exception):
    """The stream can't be completed and was cut; never seen by the client as anything but that."""


class _Frame:
    """The last chunk in its frame: one that is given to many is framed once. Larger ones aren't
    copied: there the frame and the chunk go to the transport as they are.
    """

    __slots__ = ("chunk", "framed")

    def __init__(self) -> None:
        self.chunk = self.framed = b""

    def put_around(self, chunk: bytes) -> None:
        self.chunk, self.framed = chunk, b"%x\r\n%b\r\n" % (len(chunk), chunk)


_frame: Final = _Frame()


class StreamingResponse:
    """The body of one answer. Entered, it sends the head; left without an error, the end; left with
    one, it cuts the connection. Meanwhile it stands in `app.ctx.open_streams`, so that a worker
    that stops can abort it. `at_line_start`: what was written ends with a line.
    """

    __slots__ = (
        "_answers",
        "_can_write",
        "_has_body",
        "_http",
        "_is_framed",
        "_length",
        "_request",
        "_response",
        "_sent",
        "_transport",
        "at_line_start",
    )

    def __init__(
        self, request: Request, headers: dict[str, str], content_type: str, length: int | None
    ) -> None:
        self._request: Any = request  # the app's own: what is said of it on its end is kept there
        self._http: Any = request.stream
        connection = connection_of(request)
        self._can_write = connection.can_write
        self._transport: Any = connection.transport
        self._length = length
        self._sent = 0
        self._is_framed = length is None and request.version != "1.0"
        self._has_body = request.method != "HEAD"
        if length is not None:
            headers["Content-Length"] = str(length)
        self._response: Any = HTTPResponse(headers=headers, content_type=content_type)
        self._answers: set[StreamingResponse] = request.app.ctx.open_streams
        self.at_line_start = True

    async def __aenter__(self) -> Self:
        _bound_send_buffer(self._transport)
        self._response = await self._request.respond(self._response)
        if self._length is None and not self._is_framed:
            self._http.response_func = self._send_plain_head
        await self._response.send(b"")
        self._response.headers = _SENT
        self._request.forget_head()
        self._answers.add(self)
        self._request.streamed_bytes = 0
        self._request.app.ctx.metrics.attached()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._answers.discard(self)
        self._request.app.ctx.metrics.detached()
        self._request.streamed_bytes = self._sent
        is_short = self._length not in (None, self._sent) and self._has_body
        if kind is not None or is_short:
            self.abort()
            if kind is None:
                raise StreamAborted(f"{self._sent} of {self._length} bytes were there to send")
            return
        if self._is_framed and self._has_body:
            await self._response.eof()
        else:  # of a HEAD, Sanic's own end raises
            self._http.response_func = None
            self._http.stage = Stage.IDLE
            if self._length is None and not self._is_framed:
                self._http.keep_alive = False

    async def write(self, chunk: bytes) -> None:
        """Send a chunk once the client has taken the ones before."""
        while not self.try_write(chunk):
            if self._transport.is_closing():
                raise StreamAborted("the client is gone")
            await self._can_write.wait()

    def try_write(self, chunk: bytes) -> bool:
        """Send a chunk now; False, and nothing is sent, while the client has those before to take,
        and when it is gone.
        """
        # A thousand readers of a line come through here one after the other: no call that isn't
        # needed.
        transport = self._transport
        if not self._can_write.is_up or transport.is_closing():
            return False
        length = len(chunk)
        self._sent += length
        self.at_line_start = chunk.endswith(b"\n")
        if not self._has_body:
            return True
        if not self._is_framed:
            transport.write(chunk)
        elif length <= MAX_FAN_OUT_BYTES:
            if chunk is not _frame.chunk:
                _frame.put_around(chunk)
            transport.write(_frame.framed)
        else:
            write_parts(transport, b"%x\r\n" % length, chunk, b"\r\n")
        return True

    async def flush(self) -> None:
        """Return once all that was written is with the kernel: a cut after it takes nothing away
        (but over HTTP/1.0, where a cut is a reset).
        """
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(0)  # writing is paused until nothing is left
            await self._can_write.wait()

    def abort(self) -> None:
        """End the connection so that nobody takes it for a clean end."""
        self._http.keep_alive = False
        self._http.response_func = None
        self._http.stage = Stage.IDLE
        self._request.was_cut = True
        if not self._is_framed and self._length is None and not self._transport.is_closing():
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    async def _send_plain_head(
        self,
        data: bytes,  # noqa: ARG002 - nothing yet; Sanic names both
        end_stream: bool,  # noqa: ARG002, FBT001
    ) -> None:
        """The head of an HTTP/1.0 answer without a length: no framing, and no keep-alive."""
        self._http.keep_alive = False
        self._response.headers["connection"] = "close"
        head = format_http1_response(self._response.status, self._response.processed_headers)
        await connection_of(self._request).send(head)  # type: ignore[no-untyped-call]
        self._http.stage = Stage.RESPONSE


def _bound_send_buffer(transport: Any) -> None:
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
