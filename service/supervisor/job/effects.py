"""Effects: what the state machine of a job asks the runner to carry out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.link.job_events import Ended, Outcome, Refused, Started


class Timer(StrEnum):
    """A job's timers. Each runs at most once at a time; arming it again moves it."""

    QUEUE = "queue"
    DEADLINE = "deadline"
    IDLE = "idle"
    DRAIN = "drain"
    GRACE = "grace"
    STUCK = "stuck"
    CLOSING = "closing"
    TEARDOWN = "teardown"


@dataclass(frozen=True, slots=True)
class Spawn:
    """Spawn this command; the reply is the input `spawned` or `refused`, before any other input."""

    number: int


@dataclass(frozen=True, slots=True)
class RunProbe:
    """Run the status probe of this command, whose process ended with `status`. `signal`: the signal
    of the kill under way, to be sent to the probe, which started after it; 0: none.
    """

    number: int
    status: int
    signal: int = 0


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Run the cleanup of this command; the reply is the input `cleaned_up`. `force`: run the force
    cleanup, which works whatever state the command is in.
    """

    number: int
    force: bool


@dataclass(frozen=True, slots=True)
class AbandonCleanUp:
    """Kill the cleanup that is running; there is no reply."""


@dataclass(frozen=True, slots=True)
class SignalTree:
    """Send this signal to every process of the tree; KILL is repeated until no new one is found."""

    signal: int


@dataclass(frozen=True, slots=True)
class SendSignal:
    """Send every process of the tree this signal once, and nothing more: it is no kill.
    `but_wrappers`: not to the programs of the service that hold the command. `group`: only to those
    of this process group; 0: of any.
    """

    signal: int
    but_wrappers: bool
    group: int = 0


@dataclass(frozen=True, slots=True)
class CheckTree:
    """Check whether a process of the tree is alive; the reply is the input `tree_checked`."""


@dataclass(frozen=True, slots=True)
class Arm:
    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class Disarm:
    timer: Timer


@dataclass(frozen=True, slots=True)
class Drain:
    """Read what is in the pipes now; each end of output is an input `stream_ended`."""


@dataclass(frozen=True, slots=True)
class CloseLog:
    complete: bool


@dataclass(frozen=True, slots=True)
class Emit:
    """Send this event to the worker that drives the job."""

    event: Started | Refused | Ended


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing of the job is left: let go of what it had, and send the event `finished`."""

    outcome: Outcome
    output_complete: bool


Effect = (
    Spawn
    | RunProbe
    | CleanUp
    | AbandonCleanUp
    | SignalTree
    | SendSignal
    | CheckTree
    | Arm
    | Disarm
    | Drain
    | CloseLog
    | Emit
    | Finish
)
