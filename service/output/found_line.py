"""A line that was searched for: what an encoder makes bytes of."""

from __future__ import annotations

from typing import NamedTuple

from service.output.chunk import Chunk

__all__ = ["FoundLine"]


class FoundLine(NamedTuple):
    """`number` counts from 1; `matches` is False for a line around one that does; `follows` is
    False where lines are left out before it.
    """

    chunk: Chunk
    number: int
    matches: bool
    follows: bool
