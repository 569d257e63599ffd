"""Where a reader of many jobs is: bytes that continue all of them exactly, on any worker.

A place has the number of the last change that was looked at for jobs that join, the finished jobs
that were there at the beginning and are yet to come, and of each job that has joined how far its
output was told. A job that is over stands in it only until the change of its end was looked at. So
its size grows with the jobs that are read at a time, not with those that were.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

_VERSION: Final = b"\x01"
_WORD_BYTES: Final = 4
# Bytes of a number: less than 2**63.
_MAX_VARINT_BYTES: Final = 9
_MAX_NUMBER: Final = 2**63 - 1
# Characters of a cursor: more than the head of a request can have.
MAX_CHARS: Final = 20_000


class InvalidPlace(ValueError):
    """The bytes are no place."""


class Backlog(msgspec.Struct):
    """Jobs that were finished when the reader began: those with a number above `after` and up to
    `last`, that haven't changed behind the change `seq`.
    """

    after: int
    last: int
    seq: int


class Place(msgspec.Struct):
    """`origin` is that of the records, `selection` a checksum of what is selected, `at` the time
    from which durations back are counted, or 0. `jobs`: the offset up to which each was told, by
    the job's number; None: it is over.
    """

    origin: int
    selection: int
    at: int
    seq: int
    backlog: Backlog | None = None
    jobs: dict[int, int | None] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        return _text(self._head() + _entries(self.jobs, 0)[0])

    def around(self, number: int) -> Around:
        """For many cursors that differ in the offset of one job only."""
        before, last = _entries({n: o for n, o in self.jobs.items() if n < number}, 0)
        after, _ = _entries({n: o for n, o in self.jobs.items() if n > number}, number)
        return Around(self._head() + before + _varint(number - last), after)

    def without(self, number: int, *, is_kept: bool) -> str:
        """The cursor when that job is over; `is_kept`: the change of its end wasn't looked at."""
        jobs = {n: o for n, o in self.jobs.items() if n != number}
        if is_kept:
            jobs[number] = None
        return _text(self._head() + _entries(jobs, 0)[0])

    def _head(self) -> bytes:
        backlog = self.backlog or Backlog(0, 0, 0)
        words = (self.origin, self.selection)
        numbers = (self.at, self.seq, backlog.after, backlog.last, backlog.seq)
        return b"".join(
            (
                _VERSION,
                *(word.to_bytes(_WORD_BYTES, "big") for word in words),
                *map(_varint, numbers),
            )
        )


class Around(msgspec.Struct, frozen=True):
    """A place but for the offset of one job."""

    before: bytes
    after: bytes

    def at(self, offset: int) -> str:
        """The cursor when the job was told up to there."""
        return _text(self.before + _varint(offset + 1) + self.after)


def parse_place(text: str) -> Place:
    """Raises: InvalidPlace."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidPlace(text) from exc
    begin = 1 + 2 * _WORD_BYTES
    if len(text) > MAX_CHARS or raw[:1] != _VERSION or len(raw) < begin:
        raise InvalidPlace(text)
    origin, selection = (
        int.from_bytes(raw[i : i + _WORD_BYTES], "big") for i in (1, 1 + _WORD_BYTES)
    )
    at, seq, after, last, change, *entries = _numbers(raw[begin:])
    if len(entries) % 2:
        raise InvalidPlace(text)
    place = Place(origin, selection, at, seq, Backlog(after, last, change) if last else None)
    number = 0
    for delta, value in zip(entries[::2], entries[1::2], strict=True):
        number += delta
        place.jobs[number] = value - 1 if value else None
    if number > _MAX_NUMBER or str(place) != text:  # another spelling
        raise InvalidPlace(text)
    return place


def _entries(jobs: dict[int, int | None], last: int) -> tuple[bytes, int]:
    parts = []
    for number in sorted(jobs):
        offset = jobs[number]
        parts += [_varint(number - last), _varint(0 if offset is None else offset + 1)]
        last = number
    return b"".join(parts), last


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _numbers(raw: bytes) -> list[int]:
    """Raises: InvalidPlace."""
    found, value, count = [], 0, 0
    for byte in raw:
        value |= (byte & 0x7F) << 7 * count
        count += 1
        if count > _MAX_VARINT_BYTES:
            raise InvalidPlace
        if byte < 0x80:
            found.append(value)
            value = count = 0
    if count or len(found) < 5:
        raise InvalidPlace
    return found
