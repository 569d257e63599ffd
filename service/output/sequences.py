"""Where a sequence of UTF-8 lies across a place in bytes that are cut there."""

from __future__ import annotations

__all__ = ["split_sequence", "unfinished"]


def _sequence_bytes(lead: int) -> int:
    """How many bytes a sequence has that begins with this one; 1 when none does."""
    if 0xC2 <= lead <= 0xDF:
        return 2
    if 0xE0 <= lead <= 0xEF:
        return 3
    return 4 if 0xF0 <= lead <= 0xF4 else 1


def split_sequence(data: bytes, place: int) -> tuple[int, int]:
    """How many bytes before and behind `place` belong to a valid sequence that lies across it;
    (0, 0) when none does.
    """
    for before in range(1, min(3, place) + 1 if place < len(data) else 1):
        length = _sequence_bytes(data[place - before])
        if length <= before:
            continue
        try:
            data[place - before : place - before + length].decode()
        except UnicodeDecodeError:
            continue
        if len(data) >= place - before + length:
            return before, length - before
    return 0, 0


def unfinished(data: bytes) -> tuple[int, int]:
    """How many bytes at the end may begin a sequence, and how many are missing; (0, 0): none do."""
    for before in range(1, min(3, len(data)) + 1):
        byte = data[-before]
        if byte & 0xC0 != 0x80:
            length = _sequence_bytes(byte)
            return (before, length - before) if length > before else (0, 0)
    return 0, 0
