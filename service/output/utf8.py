"""Places in bytes that are to be read as UTF-8, with replacement characters for what isn't. No I/O.

A *unit* is a UTF-8 sequence, or a piece that isn't one and becomes one replacement character.
"""

from __future__ import annotations

from codecs import getincrementaldecoder

__all__ = ["MAX_SEQUENCE_BYTES", "MAX_STEP_BYTES", "boundary", "longest_prefix"]

_BLOCK_BYTES = 1024
"""Decoded at once: only within one of them a place is searched byte by byte."""

MAX_SEQUENCE_BYTES = 4
"""The longest sequence."""

MAX_STEP_BYTES = 6
"""By what the text of one `longest_prefix` differs at most from the next: two replacement
characters, as a byte may show that those before it are no sequence, and be none itself."""

_Decoder = getincrementaldecoder("utf-8")


def longest_prefix(data: bytes, room: int) -> int:
    """How many bytes of `data` are whole units whose text has at most `room` bytes."""
    decoder = _Decoder(errors="replace")
    used, step = 0, _BLOCK_BYTES
    at = 0
    while at < len(data):
        state = decoder.getstate()
        piece = data[at : at + step]
        encoded = len(decoder.decode(piece).encode())
        if encoded > room:
            if step == 1:
                break
            decoder.setstate(state)
            step = 1
            continue
        room -= encoded
        at += len(piece)
        used = at - len(decoder.getstate()[0])
    return used


def boundary(data: bytes, at: int) -> int:
    """The first place at or behind `at` that isn't inside of a sequence."""
    for back in range(1, min(at, MAX_SEQUENCE_BYTES - 1) + 1):
        lead = data[at - back]
        if lead & 0xC0 == 0x80:
            continue  # it goes on with a sequence that began before
        length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
        end = at - back + length
        return end if end > at and _is_sequence(data[at - back : end]) else at
    return at


def _is_sequence(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
