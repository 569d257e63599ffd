"""Which jobs a caller may see. All, one principal's and none are three types, so a missing name
can't be mistaken for the right to see all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


@dataclass(frozen=True, slots=True)
class All:
    """The jobs of every principal."""


@dataclass(frozen=True, slots=True)
class Only:
    """The jobs that this principal submitted."""

    principal: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """No job at all."""


Visibility = All | Only | Nothing

ALL: Final = All()
NOTHING: Final = Nothing()


class Sight(Enum):
    """How a job ID looks to a caller. Only the audit log distinguishes FOREIGN from UNKNOWN."""

    SEEN = auto()
    FOREIGN = auto()
    UNKNOWN = auto()
