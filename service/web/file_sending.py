"""Bytes of a file that go from the kernel's cache to a client without a copy of them here.

Measured, uvloop, 1 GiB over loopback to curl, median of five interleaved rounds on a busy machine,
this process's CPU and wall: `pread` and `write` of 128 KiB 0.58 s and 1.6 s, of 1 MiB 0.39 s and
0.9 s (and a megabyte for each slow client); `sendfile` of 256 KiB 0.30 s and 0.9 s, of 1 MiB the
same.

An attached reader of 1 GiB, medians of five at a load of 5: replay 0.46 s of CPU and 1.0 s, where
reads and writes of 128 KiB took 0.85 s and 1.8 s; live, in chunks of HTTP/1.1, a sixth less CPU. A
send buffer of 512 KiB would halve the kernel's share, and double the time for the client.

uvloop has no `loop.sendfile`, and asyncio's has no turns. An event loop doesn't let others wait for
a transport's own descriptor, so a duplicate of it is waited for.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Final

from service.errors import Unavailable
from service.output.sink import FileSource
from service.web.fd_reserve import refuse_in_reserve

# Bytes per turn of the loop: as many as the kernel buffers for one client.
_TURN_BYTES: Final = 256 << 10
# Most bytes of a chunk of the response: what is around it costs a call into the kernel.
_FRAME_BYTES: Final = 1 << 20


def takes_files(transport: Any) -> bool:
    """Whether the kernel sends what the client gets as it is: TLS is made here."""
    return transport.get_extra_info("sslcontext") is None


class FileSending:
    """Bytes from `offset` to before `end`, over a transport that has nothing left to write.

    Framed, they are in chunks of HTTP/1.1. A chunk announces bytes that were in memory; they may
    have left it when their turn comes.

    Attributes:
        offset: where the next byte to send is.
        left: bytes from there on that were announced. Once there are none, the end of their chunk
            is still to be written.
    """

    __slots__ = (
        "_done",
        "_end",
        "_has_begun",
        "_is_framed",
        "_peer",
        "_source",
        "_transport",
        "_unsent",
        "left",
        "offset",
    )

    def __init__(
        self, transport: Any, source: FileSource, offset: int, end: int, *, is_framed: bool = False
    ) -> None:
        self._transport = transport
        self._source = source
        self._end = end
        self._is_framed = is_framed
        self._has_begun = False  # the first chunk
        self._unsent = b""  # of the beginning of the chunk
        self._peer: socket.socket | None = None
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.offset = offset
        self.left = 0

    async def run(self) -> None:
        """Return once all was sent, or the next byte can't be sent in this way now.

        Raises: ConnectionError, when the client is gone; whatever the source raises.
        """
        self._peer = self._duplicate()
        if self._peer is None:
            return
        with self._peer:
            self._send_some()
            if not self._done.done():
                await self._send_the_rest(self._peer.fileno())
            self._done.result()

    async def _send_the_rest(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_writer(descriptor, self._send_some)
        try:
            await self._done
        finally:
            loop.remove_writer(descriptor)

    def _duplicate(self) -> socket.socket | None:
        """None: none is left, or only some that are kept for short requests."""
        peer = self._transport.get_extra_info("socket")
        if self._transport.is_closing() or peer is None:
            raise ConnectionAbortedError("the connection is closed")
        try:
            duplicate = socket.socket(peer.family, peer.type, peer.proto, os.dup(peer.fileno()))
        except OSError:
            return None
        try:
            refuse_in_reserve(duplicate.fileno())
        except Unavailable:
            duplicate.close()
            return None
        return duplicate

    def _send_some(self) -> None:
        """Called once in each turn of the loop in which the client takes something."""
        if self._done.done():
            return
        try:
            if self._transport.is_closing():
                raise ConnectionAbortedError("the connection is closed")
            is_over = self._is_over_after_some()
        except Exception as exc:  # noqa: BLE001 - for the one who waits
            self._done.set_exception(exc)
            return
        if is_over:
            self._done.set_result(None)

    def _is_over_after_some(self) -> bool:
        assert self._peer is not None  # noqa: S101 - `run` has set it
        wanted = min(_TURN_BYTES, self._end - self.offset)
        if self._is_framed:
            if not self.left and not self._begin_chunk():
                return True
            if self._unsent and not self._send_beginning(self._peer):
                return False
            wanted = min(wanted, self.left)
        sent = self._source.send_now(self._peer.fileno(), self.offset, wanted)
        if sent is None:
            return True
        self.offset += sent
        self.left -= sent if self._is_framed else 0
        return self.offset == self._end

    def _begin_chunk(self) -> bool:
        """Announce what is in memory of the rest; False: its next byte isn't."""
        wanted = min(_FRAME_BYTES, self._end - self.offset)
        self.left = self._source.in_memory(self.offset, wanted)
        if self.left:
            end_of_last = b"\r\n" if self._has_begun else b""
            self._unsent = b"%s%x\r\n" % (end_of_last, self.left)
            self._has_begun = True
        return self.left > 0

    def _send_beginning(self, peer: socket.socket) -> bool:
        try:
            # More: it goes into one segment with what follows.
            sent = peer.send(self._unsent, socket.MSG_MORE | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        self._unsent = self._unsent[sent:]
        return not self._unsent
