"""The streaming responses that are open in this worker."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from service.metrics.series import Metrics

# Seconds between two looks for clients that are gone.
LOOK_S: Final = 15.0


class Stream(Protocol):
    """One of them; `format_name` is what it is counted as."""

    @property
    def format_name(self) -> str: ...

    def is_dead(self) -> bool:
        """Whether its client is gone, and hasn't said so."""

    def abort(self) -> None:
        """End it at once, so that nobody takes it for a clean end."""


class OpenStreams:
    """Counts them, aborts those whose client is gone, and all when the worker stops.

    It also keeps the bytes that one of them was given last, as an HTTP chunk: the same object that
    is given to many of them is framed once. `frame` makes `chunk` for `data`.
    """

    __slots__ = ("_look", "_metrics", "_streams", "chunk", "data")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._streams: set[Stream] = set()
        self._look: asyncio.TimerHandle | None = None
        self.data = self.chunk = b""

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Stream) -> None:
        self._streams.add(stream)
        self._metrics.attached(stream.format_name)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._abort_dead)

    def discard(self, stream: Stream) -> None:
        """It has ended. To be called once."""
        self._streams.discard(stream)
        self._metrics.detached(stream.format_name)

    def abort(self) -> None:
        """Abort all of them."""
        for stream in list(self._streams):
            stream.abort()

    def _abort_dead(self) -> None:
        self._look = None
        for stream in [stream for stream in self._streams if stream.is_dead()]:
            stream.abort()
        if self._streams:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._abort_dead)

    def frame(self, data: bytes) -> None:
        """Source: RFC 9112, section 7.1."""
        self.data, self.chunk = data, b"%x\r\n%b\r\n" % (len(data), data)
