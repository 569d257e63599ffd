"""Which part of a log a reader wants, and in what shape: as it was asked for, before any log is
looked at (`places` finds where that is).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

__all__ = ["EVERYTHING", "Selection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """All that is given must be met.

    Attributes:
        offset: where to begin; a negative one counts from the present end.
        stream: only this one; offsets then count its bytes.
        command: only what this one wrote. Offsets stay what they are.
        tail: begin so many lines before the present end, instead of at `offset`.
        since_ns: nothing that came earlier,
        until_ns: or that came then or later.
        limit: at most so many bytes.
        head: of all that only so many bytes from its beginning,
        tail_bytes: and from its end.
        strips_ansi: without escape sequences.
        collapses_cr: of text that was overwritten only what was left.
    """

    offset: int = 0
    stream: int | None = None
    command: int | None = None
    tail: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int | None = None
    head: int | None = None
    tail_bytes: int | None = None
    strips_ansi: bool = False
    collapses_cr: bool = False

    @property
    def seeks(self) -> bool:
        """Its beginning has to be searched for in the log."""
        return self.tail is not None or self.since_ns is not None

    def is_searched_for(self, *, is_last: bool) -> bool:
        """Where it begins and ends has to be searched for, in a log that grows unless `is_last`."""
        bounded = self.limit is not None and is_last
        return self.seeks or self.until_ns is not None or bounded or self.has_ends

    @property
    def has_ends(self) -> bool:
        """Only both ends are wanted."""
        return self.head is not None or self.tail_bytes is not None

    @property
    def rewrites(self) -> bool:
        """The bytes are not sent as they are."""
        return self.strips_ansi or self.collapses_cr

    @property
    def is_bounded(self) -> bool:
        """It may end before the output does."""
        return self.limit is not None or self.until_ns is not None

    @property
    def is_range(self) -> bool:
        """It is all that there is from one place on: nothing is left out, changed or bounded."""
        return (
            (self.command, self.until_ns, self.limit) == (None, None, None)
            and not self.has_ends
            and not self.rewrites
        )

    def resumed_at(self, offset: int) -> Self:
        """The same for one who has all that lies before `offset`."""
        return replace(self, offset=offset, tail=None, since_ns=None)


EVERYTHING = Selection()
