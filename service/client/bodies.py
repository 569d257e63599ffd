"""Bodies of requests that are sent while they are read: files, and what comes piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, Protocol, TypeAlias, runtime_checkable

_PIECE_BYTES: Final = 256 << 10


@runtime_checkable
class Readable(Protocol):
    """An open file, or what reads like one."""

    def read(self, size: int, /) -> bytes: ...


Content: TypeAlias = bytes | Readable | Iterable[bytes]
"""What is uploaded: bytes, an open file in binary mode, or pieces."""


class Streamed:
    """A body that is sent once. One that was begun can be sent again only where it can be read
    again from its beginning: a file that can be sought.
    """

    def __init__(self, content: Readable | Iterable[bytes]) -> None:
        self._content = content
        self._is_begun = False
        self._start = _position(content)

    @property
    def is_spent(self) -> bool:
        """Whether a part of it is gone."""
        return self._is_begun and self._start is None

    def __iter__(self) -> Iterator[bytes]:
        if self._is_begun and self._start is not None:
            self._content.seek(self._start)  # type: ignore[union-attr]  # it told its position
        self._is_begun = True
        if isinstance(self._content, Readable):
            while piece := self._content.read(_PIECE_BYTES):
                yield piece
        else:
            yield from self._content

    async def in_a_loop(self) -> AsyncIterator[bytes]:
        """The same for a client of an event loop, which waits for a piece."""
        for piece in self:
            yield piece


def body_of(content: Content) -> bytes | Streamed:
    """As a request has it."""
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    return Streamed(content)


def _position(content: object) -> int | None:
    """Where a file stands that can be sought; None of anything else."""
    try:
        if content.seekable():  # type: ignore[attr-defined]
            position: int = content.tell()  # type: ignore[attr-defined]
            return position
    except (AttributeError, OSError):
        pass
    return None
