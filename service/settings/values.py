"""Values of settings that are neither texts nor numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class OnShutdown(StrEnum):
    """What a stopping service does with its live jobs."""

    KILL = "kill"
    LEAVE = "leave"
    DRAIN = "drain"


class Percentage(msgspec.Struct, frozen=True):
    """A part of the file system that holds the state directory."""

    percent: int


class RunAs(msgspec.Struct, frozen=True):
    """A user of this host, with the group that their processes have, and `groups` besides."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class JobEnvironment:
    """Variables that the operator sets for all jobs; `path`: the file that had them, if any."""

    path: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
