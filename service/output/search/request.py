"""What is searched for, and what was found: as JSON between a worker and the process that searches.

Bytes go as text of as many characters (Latin 1).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from service.output.chunk import Chunk
from service.output.found_line import FoundLine
from service.output.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

__all__ = ["FoundGap", "Grep", "Part", "SearchRequest", "packed", "unpacked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grep:
    """Which lines.

    Attributes:
        pattern: in the syntax of RE2.
        inverts: those in which it is not.
        ignores_case: of letters.
        context: so many lines around each as well.
        most: so many are told of; all are counted, if that is wanted.
    """

    pattern: str
    inverts: bool = False
    ignores_case: bool = False
    context: int = 0
    most: int | None = None

    def pack(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A search of the log in `directory`.

    Attributes:
        begin: what the offset of the selection came to.
        end: of what is searched; what came later is not.
        marks_gaps: a gap is told of; else the search fails there.
        attributes: it is told whose each line is.
        counts: all lines are counted, also when no more are told of.
    """

    directory: str
    selection: Selection
    begin: int
    end: int
    grep: Grep
    marks_gaps: bool
    attributes: bool
    counts: bool

    def pack(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def unpack(cls, given: dict[str, Any]) -> Self:
        """From JSON."""
        selection, grep = Selection(**given.pop("selection")), Grep(**given.pop("grep"))
        return cls(selection=selection, grep=grep, **given)


class FoundGap(NamedTuple):
    """What was dropped."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What was found next.

    Attributes:
        found: lines, and the gaps between them.
        is_last: there is no more.
        count: lines that match, so far.
        offset: up to where was searched.
        end: up to where will be searched.
        dropped_until: the search ends here: what follows was dropped, up to there.
    """

    found: Sequence[FoundLine | FoundGap]
    is_last: bool
    count: int
    offset: int
    end: int
    dropped_until: int | None = None

    def pack(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "found": [
                [*each.chunk[:-1], each.chunk.data.decode("latin-1"), *each[1:]]
                if isinstance(each, FoundLine)
                else each
                for each in self.found
            ],
            "is_last": self.is_last,
            "count": self.count,
            "offset": self.offset,
            "end": self.end,
            "dropped_until": self.dropped_until,
        }

    @classmethod
    def unpack(cls, given: dict[str, Any]) -> Self:
        """From JSON."""
        found = [
            FoundGap(*each)
            if len(each) == len(FoundGap._fields)
            else FoundLine(Chunk._make([*each[:5], each[5].encode("latin-1")]), *each[6:])
            for each in given.pop("found")
        ]
        return cls(found=found, **given)


def packed(message: dict[str, Any]) -> bytes:
    """With its length in front."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return len(body).to_bytes(4, "little") + body


def unpacked(body: bytes) -> dict[str, Any]:
    """Without its length."""
    message: dict[str, Any] = json.loads(body)
    return message
