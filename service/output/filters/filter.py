"""What a filter is, and text that can be any bytes.

Filters work on text that was decoded with `surrogateescape`: a byte that is no part of a valid
UTF-8 sequence is one character from U+DC80 to U+DCFF, and becomes that byte again.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Chain", "Filter", "TextDecoder", "encoded"]

_new_decoder = codecs.getincrementaldecoder("utf-8")


class Filter(Protocol):
    """However its input is cut into pieces, what it returns is the same in all."""

    def feed(self, data: bytes) -> bytes:
        """What is known of the result, once `data` has come."""

    def finish(self) -> bytes:
        """The rest of it: nothing comes any more. It begins anew with the next `feed`."""


class Chain:
    """Several filters, one behind the other."""

    __slots__ = ("_filters",)

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = filters

    def feed(self, data: bytes) -> bytes:
        """As `Filter.feed`."""
        for found in self._filters:
            data = found.feed(data)
        return data

    def finish(self) -> bytes:
        """As `Filter.finish`."""
        data = b""
        for found in self._filters:
            data = found.feed(data) + found.finish()
        return data


class TextDecoder:
    """Decodes pieces of bytes; keeps at most three, the beginning of a sequence."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = _new_decoder("surrogateescape")

    @property
    def is_between(self) -> bool:
        """No sequence has begun that isn't complete."""
        return not self._decoder.getstate()[0]

    def decode(self, data: bytes, *, is_last: bool = False) -> str:
        """The text, but for a sequence at the end that may still be completed."""
        return self._decoder.decode(data, is_last)


def encoded(text: str) -> bytes:
    """The bytes that were decoded."""
    return text.encode("utf-8", "surrogateescape")
