"""The streaming responses that are open in this worker."""

from __future__ import annotations

from typing import Protocol

from service.metrics.series import Metrics


class Stream(Protocol):
    def abort(self) -> None:
        """End it at once, so that nobody takes it for a clean end."""


class OpenStreams:
    """Counts them, and can abort them all when the worker stops.

    It also keeps the bytes that one of them was given last, as an HTTP chunk: the same object that
    is given to many of them is framed once. `frame` makes `chunk` for `data`.
    """

    __slots__ = ("_metrics", "_streams", "chunk", "data")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._streams: set[Stream] = set()
        self.data = self.chunk = b""

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Stream) -> None:
        self._streams.add(stream)
        self._metrics.attached()

    def discard(self, stream: Stream) -> None:
        """It has ended. To be called once."""
        self._streams.discard(stream)
        self._metrics.detached()

    def abort(self) -> None:
        """Abort all of them."""
        for stream in list(self._streams):
            stream.abort()

    def frame(self, data: bytes) -> None:
        """Source: RFC 9112, section 7.1."""
        self.data, self.chunk = data, b"%x\r\n%b\r\n" % (len(data), data)
