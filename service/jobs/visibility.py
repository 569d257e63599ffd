"""Which jobs a caller may see. All, one principal's and none are three types, so a missing name
can't be mistaken for the right to see all.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec


class All(msgspec.Struct, frozen=True):
    """The jobs of every principal."""


class Only(msgspec.Struct, frozen=True):
    """The jobs that this principal submitted."""

    principal: str


class Nothing(msgspec.Struct, frozen=True):
    """No job at all."""


Visibility = All | Only | Nothing

ALL: Final = All()
NOTHING: Final = Nothing()


class Sight(Enum):
    """How a job ID looks to a caller. Only the audit log distinguishes FOREIGN from UNKNOWN."""

    SEEN = auto()
    FOREIGN = auto()
    UNKNOWN = auto()
