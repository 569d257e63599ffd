"""Which jobs a caller may see. Everything, some and nothing are three types, so that the absence of
a name can't be taken for the right to see all.
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
    """What a caller has to do with a job ID. Only the audit log tells FOREIGN from UNKNOWN."""

    SEEN = auto()
    FOREIGN = auto()
    UNKNOWN = auto()
