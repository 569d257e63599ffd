"""Where text may be cut: never inside a sequence of UTF-8."""

from __future__ import annotations

__all__ = ["incomplete_tail"]

_MAX_SEQUENCE_BYTES = 4


def incomplete_tail(data: bytes) -> int:
    """How many bytes at the end of `data` begin a sequence that needs more; 0 when none do.

    Source: RFC 3629, section 4.
    """
    for count in range(1, min(len(data), _MAX_SEQUENCE_BYTES - 1) + 1):
        byte = data[-count]
        if byte & 0xC0 != 0x80:
            return count if count < _length(byte) else 0
    return 0


def _length(first: int) -> int:
    """Bytes of the sequence that begins with `first`; 0 for none."""
    if 0xC2 <= first <= 0xDF:
        return 2
    if 0xE0 <= first <= 0xEF:
        return 3
    return 4 if 0xF0 <= first <= 0xF4 else 0
