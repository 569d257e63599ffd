"""What a connection sends, some of it in each turn of the loop.

A loop over many small frames is a turn of everybody: 8 MiB of empty ones, which libuv reads in one
go, take ten seconds (7 us each), and a worker that is silent for so long is killed. So the rest
waits for the next turn, and meanwhile the connection isn't read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

# Frames per turn, about 2 ms; and bytes that are parsed at a time, which may be 700 of them.
_FRAMES: Final = 256
_PARSED_BYTES: Final = 4 << 10


class Intake:
    """`take` is given bytes, in order, and tells how many frames ended in them."""

    __slots__ = ("_is_held", "_is_paused", "_is_scheduled", "_left", "_take", "_transport")

    def __init__(self, transport: Any, take: Callable[[bytes], int]) -> None:
        self._transport = transport
        self._take = take
        self._left = bytearray()
        self._is_held = False
        self._is_paused = False
        self._is_scheduled = False

    def received(self, data: bytes | bytearray) -> None:
        """More has come."""
        self._left += data
        if not self._is_scheduled:
            self._some()

    def hold(self) -> None:
        """What is sent stays with the kernel, and then with the client."""
        self._is_held = True
        self._pause_or_resume()

    def release(self) -> None:
        """Go on, in the next turn."""
        if self._is_held:
            self._is_held = False
            self._schedule()

    def _some(self) -> None:
        self._is_scheduled = False
        frames = 0
        while self._left and not self._is_held and frames < _FRAMES:
            piece = bytes(self._left[:_PARSED_BYTES])
            del self._left[:_PARSED_BYTES]
            frames += self._take(piece)
        if self._left and not self._is_held:
            self._schedule()
        self._pause_or_resume()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._some)

    def _pause_or_resume(self) -> None:
        is_full = self._is_held or bool(self._left)
        if is_full is self._is_paused or self._transport.is_closing():
            return
        self._is_paused = is_full
        if is_full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
