"""A response whose body is written as it comes, and that never ends cleanly unless it is whole.

Sanic's own `send` copies each chunk into its frame; here the frame and the chunk go to the
transport as they are (1.35 times the throughput on a live attach, twice on a replay). HTTP/1.0
knows no chunks: its body ends with the connection, so an abort is a reset there (SO_LINGER 0), as a
plain close would look like a clean end.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

from sanic import HTTPResponse
from sanic.compat import Header
from sanic.headers import format_http1_response
from sanic.http.constants import Stage

from service.output.sink import FileSource
from service.web import trailers
from service.web.abort import abort
from service.web.asyncio_compat import write_parts
from service.web.connection import connection_of
from service.web.dead_peers import is_dead
from service.web.file_sending import FileSending, takes_files
from service.web.request import Request

# Bytes that the kernel keeps for a client that reads nothing (it doubles the number given); without
# it the buffer grows to 4 MB. At this size the throughput is the same.
_SEND_BUFFER_BYTES: Final = 128 << 10
# Up to here a copy into the frame costs less than two writes more; and many streams share it.
_COPIED_BYTES: Final = 16 << 10
# In place of the headers of a response once they are sent: nobody reads them again.
_SENT: Final = Header()


class StreamAborted(Exception):
    """The stream can't be completed; its client sees a connection that breaks."""


class StreamingResponse:
    """The body of one response, a `FileSink`. Entered, it sends the head; left without an error,
    the end; left with one, or with fewer bytes than `length`, it aborts the connection. Meanwhile
    it stands in `app.ctx.open_streams`.

    Attributes:
        takes_trailers: the client wants them, and the response is chunked.
        trailers: set before a clean end, they are sent with it; names that were announced.
    """

    __slots__ = (
        "_can_write",
        "_has_body",
        "_http",
        "_is_complete",
        "_is_framed",
        "_left",
        "_length",
        "_request",
        "_response",
        "_sent",
        "_streams",
        "_transport",
        "format_name",
        "takes_trailers",
        "trailers",
    )

    def __init__(
        self,
        request: Request,
        headers: dict[str, str],
        content_type: str,
        length: int | None,
        *,
        status: int = 200,
        announced: Iterable[str] = (),
        format_name: str = "text",
    ) -> None:
        """`length`: bytes that will be written, for a Content-Length; None: nobody knows.
        `announced`: names of trailers that there may be. `format_name`: what it is counted as.
        """
        self.format_name = format_name
        self._request: Any = request  # the app's own: what is said of it on its end is kept there
        self._http: Any = request.stream
        connection = connection_of(request)
        self._can_write = connection.can_write
        self._transport: Any = connection.transport
        self._length = length
        self._sent = 0
        self._left = 0  # bytes that were announced and are to come next
        self._is_complete = False
        self._is_framed = length is None and request.version != "1.0"
        self._has_body = request.method != "HEAD"
        self.trailers: dict[str, str] | None = None
        self.takes_trailers = self._is_framed and self._has_body and trailers.are_wanted(request)
        if self.takes_trailers:
            headers["Trailer"] = ", ".join(announced)
        if length is not None:
            headers["Content-Length"] = str(length)
        self._response: Any = HTTPResponse(
            status=status, headers=headers, content_type=content_type
        )
        self._streams = request.app.ctx.open_streams

    async def __aenter__(self) -> Self:
        bound_send_buffer(self._transport)
        self._response = await self._request.respond(self._response)
        if self._length is None and not self._is_framed:
            self._http.response_func = self._send_plain_head
        await self._response.send(b"")
        self._response.headers = _SENT
        self._request.forget_head()
        self._request.streamed_bytes = 0
        self._streams.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._streams.discard(self)
        self._request.streamed_bytes = self._sent
        is_short = self._left or (self._length not in (None, self._sent) and self._has_body)
        if kind is not None or is_short:
            self.abort()
            if kind is None:
                raise StreamAborted(f"{self._sent} of {self._length} bytes were there to send")
            return
        if self._is_framed and self._has_body and not self.trailers:
            await self._response.eof()
        else:  # Sanic's own end raises for a HEAD, and has no trailers
            if self.trailers:
                self._transport.write(trailers.end_of_chunks(self.trailers))
            self._http.response_func = None
            self._http.stage = Stage.IDLE
            if self._length is None and not self._is_framed:
                self._http.keep_alive = False

    async def write(self, data: bytes) -> None:
        """Send the data once the client has taken what was sent before."""
        while not self.try_write(data):
            if self._transport.is_closing():
                raise StreamAborted("the client is gone")
            await self._can_write.wait()

    def is_dead(self) -> bool:
        """Whether the client is gone, and hasn't said so."""
        return is_dead(self._transport)

    def try_write(self, data: bytes) -> bool:
        """Send the data now; False, and nothing is sent, while the client has those before to take,
        and when it is gone.
        """
        # A thousand readers of a line come through here one after the other: no call that isn't
        # needed.
        transport = self._transport
        if not self._can_write.is_up or transport.is_closing():
            return False
        length = len(data)
        self._sent += length
        if not length or not self._has_body:
            return True  # of no bytes the frame would be the end
        if not self._is_framed:
            transport.write(data)
        elif self._left:
            self._complete_frame(data)
        elif length <= _COPIED_BYTES:
            streams = self._streams
            if data is not streams.data:
                streams.frame(data)
            transport.write(streams.chunk)
        else:
            write_parts(transport, b"%x\r\n" % length, data, b"\r\n")
        return True

    async def send_file(self, source: FileSource, begin: int, end: int) -> int:
        """Send bytes of a file once the client has taken what was sent before; the offset that was
        reached. The others are for `write`.
        """
        transport = self._transport
        if self._left or not self._has_body or not takes_files(transport):
            return begin
        await self.flush()
        if transport.is_closing():
            raise StreamAborted("the client is gone")
        if transport.get_write_buffer_size():
            return begin  # these bytes would overtake those
        sending = FileSending(transport, source, begin, end, is_framed=self._is_framed)
        try:
            await sending.run()
        except ConnectionError as exc:
            raise StreamAborted("the client is gone") from exc
        finally:
            self._sent += sending.offset - begin
            self._left = sending.left
        if self._is_framed and sending.offset > begin and not self._left:
            transport.write(b"\r\n")
        transport.set_write_buffer_limits()  # as they were before the flush
        return sending.offset

    def _complete_frame(self, data: bytes) -> None:
        """Write what was announced, and the rest in a frame of its own."""
        transport, announced = self._transport, data[: self._left]
        self._left -= len(announced)
        transport.write(announced)
        if self._left:
            return
        transport.write(b"\r\n")
        if rest := data[len(announced) :]:
            write_parts(transport, b"%x\r\n" % len(rest), rest, b"\r\n")

    async def linger(self, seconds: float) -> None:
        """All was written; leave the response open for so long, unless the client closes it, which
        cancels this: then nothing was cut.
        """
        self._is_complete = True
        await asyncio.sleep(seconds)  # noqa: TID251 - a bound on the wait for the client

    async def flush(self) -> None:
        """Return once all that was written is with the kernel: an abort after it takes nothing away
        (but over HTTP/1.0, where an abort is a reset).
        """
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(0)  # writing is paused until nothing is left
            await self._can_write.wait()

    def abort(self) -> None:
        """End the connection so that nobody takes it for a clean end."""
        self._http.keep_alive = False
        self._http.response_func = None
        self._http.stage = Stage.IDLE
        self._request.was_cut = not self._is_complete
        abort(self._transport, reset=not self._is_framed and self._length is None)

    async def _send_plain_head(
        self,
        data: bytes,  # noqa: ARG002 - nothing yet; Sanic names both
        end_stream: bool,  # noqa: ARG002, FBT001
    ) -> None:
        """The head of an HTTP/1.0 response without a length: no framing, and no keep-alive."""
        self._http.keep_alive = False
        self._response.headers["connection"] = "close"
        head = format_http1_response(self._response.status, self._response.processed_headers)
        await connection_of(self._request).send(head)  # type: ignore[no-untyped-call]
        self._http.stage = Stage.RESPONSE


def bound_send_buffer(transport: Any) -> None:
    """Have the kernel keep little for a client that reads nothing."""
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
