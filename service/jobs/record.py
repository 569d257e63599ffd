"""What is known of a job: its record, the outcome of each command, the receipt of a kill.

Records are values: a change makes a new one (`msgspec.structs.replace`), which is stored before
anybody acts on it. Times are wall clock, nanoseconds since 1970 UTC.
"""

from __future__ import annotations

import signal as signals
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from service.jobs.states import Reason, State

# The most that a column of SQLite holds; it is in the year 2262.
MAX_TIME_NS: Final = 2**63 - 1
# Later requests of a kill that a record tells of.
MAX_LATER_KILLS: Final = 20
_KILL: Final = "SIGKILL"
# Decoders check it, so that what is shown of a record can be written as a date.
Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_NS)]


class Usage(msgspec.Struct, frozen=True):
    """What a job has used, as far as it is known: seconds of processor time, the most bytes of
    memory at a time, and seconds from its first command to its end.
    """

    cpu_s: float | None = None
    peak_bytes: int | None = None
    lasted_s: float | None = None


class LiveUsage(msgspec.Struct, frozen=True):
    """What a job that runs has used so far, and the bytes of memory and the processes that it has
    now; None where nobody can tell.
    """

    cpu_s: float
    peak_bytes: int | None
    memory_bytes: int | None
    processes: int


class Left(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that was running when its job had ended by itself. `is_kept`: it went on."""

    pid: int
    command: str
    is_kept: bool = False


class CommandOutcome(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, array_like=False
):
    """The state and the end of one command. `usage`, `left` and `input_bytes` (how much of its
    input was taken; None: it had none), of the job, are in the last, and `released_at`, of a job
    that was held, in the first until that has started. `facts` is what its view tells besides, as
    its Kind names it.
    """

    state: State = State.PENDING
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None
    oom_killed: bool = False
    started_at: Time | None = None
    finished_at: Time | None = None
    lasted_s: float | None = None
    usage: Usage | None = None
    left: tuple[Left, ...] = ()
    input_bytes: int | None = None
    released_at: Time | None = None
    facts: dict[str, str] = {}

    @property
    def duration_s(self) -> float | None:
        """From its start to its end; None before."""
        return _duration_s(self.lasted_s, self.started_at, self.finished_at)


class LaterKill(msgspec.Struct, frozen=True, kw_only=True):
    """A request to kill a job that is being killed already."""

    requested_at: Time
    signal: str
    grace_s: float


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """A kill: the request, and from `found` on the receipt, which is None until it is done.

    `grace_s` is that of the request that ends the grace. `later`: the newest requests after the
    first, oldest first. `found`: processes that were found. `escalated`: KILL was needed after the
    grace. `verified_gone`: each of them was seen gone.
    """

    reason: Reason
    requested_at: Time
    signal: str
    grace_s: float
    later: tuple[LaterKill, ...] = ()
    found: int | None = None
    escalated: bool | None = None
    verified_gone: bool | None = None

    @property
    def requests(self) -> list[LaterKill]:
        """All of them, oldest first."""
        return [self.as_later(), *self.later]

    @property
    def signals(self) -> list[str]:
        """All that were sent, or are about to be, oldest first."""
        sent = [request.signal for request in self.requests]
        return [*sent, _KILL] if self.escalated and sent[-1] != _KILL else sent

    def as_later(self) -> LaterKill:
        """This request, as one after another."""
        at, grace_s = self.requested_at, self.grace_s
        return LaterKill(requested_at=at, signal=self.signal, grace_s=grace_s)

    def with_later(self, later: LaterKill) -> Kill:
        """The kill after one more request, which sends its signal, and may shorten the grace."""
        now_ends, ends = (r.requested_at + round(r.grace_s * 1e9) for r in (self, later))
        if not later.grace_s:
            later = replace(later, signal=_KILL)
        return replace(
            self,
            grace_s=later.grace_s if ends < now_ends else self.grace_s,
            later=(*self.later, later)[-MAX_LATER_KILLS:],
        )


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One job as the store keeps it.

    `seq` orders jobs by their submission. `principal` submitted it; None when the service has no
    tokens. `spec` is the submission in canonical JSON. `dispatched` is the number of the last
    command that was sent to the supervisor, -1 before the first: it is stored before the command is
    sent, so that no command starts twice. `max_running`: how many jobs of its principal may run at
    a time for it to begin; 0: any number. `priority`: what the priority was changed to, None: it is
    that of the spec; `priority_changes`: how often it was. `revision` counts the changes that were
    stored. `damage` says which columns of the row can't be read, None when all can. `waited_s`:
    seconds from its submission to its first command, told by the supervisor. The last two aren't
    stored.
    """

    seq: int = 0
    id: str
    state: State = State.PENDING
    reason: Reason | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    principal: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    spec: bytes
    commands: tuple[CommandOutcome, ...]
    kill: Kill | None = None
    dispatched: int = -1
    output_bytes: int | None = None
    output_complete: bool = True
    max_running: int = 0
    priority: int | None = None
    priority_changes: int = 0
    revision: int = 0
    damage: str | None = None
    waited_s: float | None = None

    @property
    def usage(self) -> Usage:
        """What the job has used; nothing is known of one that runs."""
        known = (o.usage for o in self.commands if o.usage is not None)
        return next(known, Usage())

    @property
    def left(self) -> tuple[Left, ...]:
        """What was running when the job had ended by itself, and was ended with it or kept."""
        return next((o.left for o in self.commands if o.left), ())

    @property
    def is_released(self) -> bool:
        """Whether nothing holds it any more, if something did."""
        return self.dispatched >= 0 or any(o.released_at is not None for o in self.commands)

    @property
    def input_bytes(self) -> int | None:
        """How much of its input a finished job has taken; None: it had none, or nobody knows."""
        return next((o.input_bytes for o in self.commands if o.input_bytes is not None), None)

    @property
    def duration_s(self) -> float | None:
        """From its first command to its end; None before."""
        return _duration_s(self.usage.lasted_s, self.started_at, self.finished_at)

    @property
    def queue_wait_s(self) -> float | None:
        """From its submission to its first command; None before."""
        return _duration_s(self.waited_s, self.created_at, self.started_at)


def _duration_s(measured_s: float | None, start: int | None, end: int | None) -> float | None:
    """As measured; else by the wall clock, which may have been set back meanwhile."""
    if start is None or end is None:
        return None
    return max(0.0, (end - start) / 1e9) if measured_s is None else measured_s


def signal_number(name: str) -> int:
    """What `signal_name` wrote. Raises: ValueError, KeyError."""
    if name.startswith("SIGRTMIN+"):
        return signals.SIGRTMIN + int(name.removeprefix("SIGRTMIN+"))
    return signals.Signals[name]


def signal_name(number: int) -> str:
    """`SIGTERM` for 15; real-time signals without a name of their own count from `SIGRTMIN`."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signals.SIGRTMIN}"
