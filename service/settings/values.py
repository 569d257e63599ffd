"""Values of settings that are neither texts nor numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OnShutdown(StrEnum):
    """What a stopping service does with its live jobs."""

    KILL = "kill"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Percentage:
    """A part of the file system that holds the state directory."""

    percent: int


@dataclass(frozen=True, slots=True)
class RunAs:
    """A user of this host, with the group that their processes have."""

    name: str
    uid: int
    gid: int
    home: str
