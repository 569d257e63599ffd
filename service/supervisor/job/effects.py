"""What a course can ask for: the vocabulary between its decisions and who carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Timer(Enum):
    """Each timer of a job runs at most once at a time; arming it again moves it."""

    QUEUE = "queue"
    DEADLINE = "deadline"
    IDLE = "idle"
    DRAIN = "drain"
    GRACE = "grace"
    STUCK = "stuck"
    CLOSING = "closing"
    CLEANING = "cleaning"


@dataclass(frozen=True, slots=True)
class Spawn:
    number: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Run the verdict of this command, whose process ended with `status`. `signal`: 0, or that of
    the kill under way, which the verdict came too late for.
    """

    number: int
    status: int
    signal: int = 0


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Clean up after this command, and tell by `cleaned_up`. `thorough`: whatever became of it;
    else it ended in the ordinary way.
    """

    number: int
    thorough: bool


@dataclass(frozen=True, slots=True)
class AbandonCleanUp:
    """The clean-up under way takes too long: end it, and tell nothing of it."""


@dataclass(frozen=True, slots=True)
class SignalTree:
    """Send this signal to every process of the tree; KILL until nothing new is found."""

    signal: int


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the tree, and tell by `tree_seen` whether a process of it lives."""


@dataclass(frozen=True, slots=True)
class Arm:
    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class Disarm:
    timer: Timer


@dataclass(frozen=True, slots=True)
class Drain:
    """Read what is in the pipes now; each end of output is told by `stream_ended`."""


@dataclass(frozen=True, slots=True)
class CloseLog:
    complete: bool


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the owner; `job.py` adds the job's ID, the number of the event and the time."""

    name: str
    fields: dict[str, Any]


Action = (
    Spawn
    | Judge
    | CleanUp
    | AbandonCleanUp
    | SignalTree
    | Look
    | Arm
    | Disarm
    | Drain
    | CloseLog
    | Emit
)
