"""What an offset of a reader, and the end of a log, are checked against."""

from __future__ import annotations

from service.errors import CorruptLog, OffsetBeyondEnd, OffsetInGap

__all__ = ["check_end", "checked_offset"]


def check_end(found: int, at_least: int) -> None:
    """Sees that a log which ends at `found` has all that is known to have been in it.

    Raises:
        CorruptLog: bytes are missing.
    """
    if found < at_least:
        msg = f"the output has {found} bytes, it had {at_least}"
        raise CorruptLog(msg)


def checked_offset(offset: int, size: int, gap: tuple[int, int] | None) -> int:
    """The offset from the start, of a stream with so many bytes that doesn't begin in `gap`.

    Raises: OffsetBeyondEnd, OffsetInGap.
    """
    if offset > size:
        raise OffsetBeyondEnd(offset, size)
    if offset < 0:
        offset = max(0, size + offset)
    if gap is not None and gap[0] <= offset < gap[1]:
        raise OffsetInGap(offset, gap, size)
    return offset
