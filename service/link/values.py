"""The value types of the protocol: what JSON type a value has, and its bounds.

A bound is an object beside the type, `Annotated[int, Between(1, 64)]`: mypy sees the type, and
`service.link.validation` the bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NotRequired, Protocol, TypeAlias, TypedDict


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, both included; NaN is between no two numbers."""

    low: float
    high: float


class Bound(Protocol):
    """Any other bound; `str` says what fits."""

    @property
    def fits(self) -> Callable[[Any], object]:
        """Called with a value of the right type; true when it fits."""


@dataclass(frozen=True, slots=True)
class Matching:
    """A string that matches `pattern` as a whole."""

    pattern: re.Pattern[str]

    @property
    def fits(self) -> Callable[[str], object]:
        return self.pattern.fullmatch

    def __str__(self) -> str:
        return f"a string that matches {self.pattern.pattern}"


class Encodable:
    """A string that the kernel can take: bytes that are no UTF-8 stand in it as lone surrogates
    from U+DC80 to U+DCFF, and no other ones (see os.fsencode).
    """

    def fits(self, value: str) -> bool:
        if value.isascii():
            return True
        try:
            value.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            return False
        return True

    def __str__(self) -> str:
        return "a string without lone surrogates other than U+DC80 to U+DCFF"


class NonEmpty:
    """At least one item."""

    def fits(self, value: Sequence[object]) -> bool:
        return len(value) > 0

    def __str__(self) -> str:
        return "a list of at least one"


class Pair:
    """Two items."""

    def fits(self, value: Sequence[object]) -> bool:
        return len(value) == 2

    def __str__(self) -> str:
        return "a list of two"


# Three centuries: sums with the clock stay finite.
_MAX_SECONDS: Final = 1e10
# What SQLite and the kernel store: 64 bits with a sign.
_MAX_INT: Final = (1 << 63) - 1

Text: TypeAlias = Annotated[str, Encodable()]
# It becomes the name of a file and of a cgroup.
JobId: TypeAlias = Annotated[str, Matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}"))]
Count: TypeAlias = Annotated[int, Between(0, _MAX_INT)]
# What says "none yet" by -1: the last command that was dispatched.
CommandOrNone: TypeAlias = Annotated[int, Between(-1, _MAX_INT)]
Priority: TypeAlias = Annotated[int, Between(-_MAX_INT, _MAX_INT)]
Seconds: TypeAlias = Annotated[float, Between(0, _MAX_SECONDS)]
# Nanoseconds since the epoch, as SQLite stores them.
TimeNs: TypeAlias = Annotated[int, Between(0, _MAX_INT)]
Signal: TypeAlias = Annotated[int, Between(0, 64)]
# Rows or columns, as the kernel stores them.
TerminalSide: TypeAlias = Annotated[int, Between(1, (1 << 16) - 1)]
# A wait status: from 0 on an exit code, below 0 a signal. A container's may exceed 255.
Status: TypeAlias = Annotated[int, Between(-_MAX_INT, _MAX_INT)]
# The lowest and the highest of some wait statuses.
StatusRange: TypeAlias = Annotated[Sequence[Status], Pair()]
Argv: TypeAlias = Annotated[Sequence[Text], NonEmpty()]
Processors: TypeAlias = Annotated[float, Between(0, 1e6)]
FileMode: TypeAlias = Annotated[int, Between(0, 0o7777)]
UserNumber: TypeAlias = Annotated[int, Between(0, (1 << 32) - 2)]  # the last one means "unchanged"


class RunAs(TypedDict):
    """A Unix user, by number."""

    uid: UserNumber
    gid: UserNumber
    groups: NotRequired[Sequence[UserNumber]]  # supplementary ones; missing: none
