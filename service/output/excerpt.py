"""Both ends of a log as a text of so many bytes at most: what is read, and what is made of it.

No I/O. Three fifths of the room are the head's, two fifths the tail's; what one of them doesn't
need is the other's. Bytes that aren't UTF-8 become replacement characters, of three bytes each, so
fewer of those fit. No UTF-8 sequence is split. Where bytes were dropped (the gap) they are left out
anyway.
"""

from __future__ import annotations

from typing import NamedTuple

from service.output.utf8 import MAX_SEQUENCE_BYTES, MAX_STEP_BYTES, boundary, longest_prefix

__all__ = ["Excerpt", "ends", "excerpt"]

_HEAD_PERCENT = 60

_SHORT_MARK = "…"


class Excerpt(NamedTuple):
    """`text` has the bytes of `head` and of `tail`, and a mark between them where those between are
    `elided`. A log that is there as a whole is all head.
    """

    text: str
    head: tuple[int, int]
    tail: tuple[int, int]
    elided: tuple[int, int] | None


class Ends(NamedTuple):
    """What is to be read of a log: from byte to before byte. They may overlap."""

    head: tuple[int, int]
    tail: tuple[int, int]


def ends(size: int, gap: tuple[int, int], limit: int) -> Ends:
    """The bytes that `excerpt` takes, of a log with so many."""
    dropped, until = gap if gap[1] else (size, 0)
    # The tail has what tells whether a sequence goes on where it begins.
    return Ends((0, min(dropped, limit)), (max(until, size - limit - MAX_SEQUENCE_BYTES), size))


def excerpt(size: int, gap: tuple[int, int], limit: int, head: bytes, tail: bytes) -> Excerpt:
    """At most `limit` bytes of text from the two ends."""
    if not gap[1] and size <= limit:
        whole = head.decode(errors="replace")
        if len(whole.encode()) <= limit:
            return Excerpt(whole, (0, size), (size, size), None)
    room = limit - _longest_mark(size, limit)
    begin = size - len(tail)
    first, a = _prefix(head, room * _HEAD_PERCENT // 100)
    tail = tail[max(0, a - begin) :]
    begin = size - len(tail)
    last, skipped = _suffix(tail, room - len(first.encode()))
    if not skipped:
        first, a = _prefix(head[:begin], room - len(last.encode()))
    b = begin + skipped
    return Excerpt(first + _mark(a, b, size, limit, first) + last, (0, a), (b, size), (a, b))


def _longest_mark(size: int, limit: int) -> int:
    return len(_mark(size, size, size, limit, "x").encode())


def _mark(a: int, b: int, size: int, limit: int, before: str) -> str:
    """What stands for the bytes from `a` to before `b`: a line of its own, where there is room."""
    line = "[jobrunner: bytes {} to {} left out]\n"
    if limit < 2 * (1 + len(line.format(size, size))):
        return _SHORT_MARK if limit >= len(_SHORT_MARK.encode()) else ""
    begun = before and not before.endswith("\n")
    return ("\n" if begun else "") + line.format(a, b)


def _prefix(data: bytes, room: int) -> tuple[str, int]:
    """The longest text of at most `room` bytes, and of how many bytes of `data` it is."""
    used = longest_prefix(data, room)
    return data[:used].decode(errors="replace"), used


def _suffix(data: bytes, room: int) -> tuple[str, int]:
    """The same of the end of `data`, and how many bytes of it come before."""
    at = boundary(data, max(0, len(data) - room))
    text = data[at:].decode(errors="replace")
    excess = len(text.encode()) - room
    if excess > 0:
        at += longest_prefix(data[at:], excess + MAX_STEP_BYTES - 1)
        text = data[at:].decode(errors="replace")
    if len(text.encode()) > room:  # of a sequence alone that the end of the log cuts
        return "", len(data)
    return text, at
