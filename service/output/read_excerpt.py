"""An excerpt of the log in a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import CorruptLog
from service.output.excerpt import Excerpt, ends, excerpt
from service.output.reader import LogReader

if TYPE_CHECKING:
    from service.output.files import Directory

__all__ = ["read_excerpt"]

_TRIES = 10
"""Of a flood that drops bytes faster than its tail is read, the head is enough."""


def read_excerpt(directory: Directory, limit: int, *, wait: bool = True) -> Excerpt:
    """Both ends of the log as it is now, as at most `limit` bytes of text.

    Raises:
        FileNotFoundError: there is no log.
        BlockingIOError: `wait` is false, and the bytes are not in memory.
        CorruptLog: the log is damaged.
    """
    with LogReader.open(directory) as log:
        state = log.whole_state()
        for _ in range(_TRIES):
            gap, size = state.gap.of(None), state.end
            head, tail = (_read(log, *part, wait=wait) for part in ends(size, gap, limit))
            if not state.limit or state.closed:
                break
            now = log.state()
            if now.gap == state.gap:
                break
            state = now  # what was dropped meanwhile reads as anything
        else:
            tail = b""
        return excerpt(size, gap, limit, head, tail)


def _read(log: LogReader, begin: int, end: int, *, wait: bool) -> bytes:
    pieces = []
    while begin < end:
        data = log.read(begin, end - begin, end=end, wait=wait)
        if not data:
            msg = f"the output ends before {begin}"
            raise CorruptLog(msg)
        pieces.append(data)
        begin += len(data)
    return b"".join(pieces)
