"""How one job runs its course: the decisions of the supervisor, without any I/O.

A `Course` is told what happened and answers with what to do (`Action`s, in order). It knows no
process, no descriptor and no clock; `job.py` carries its actions out.

Phases
    IDLE      no command runs; one more is expected
    RUNNING   a command was spawned, its wait status isn't in
    DRAINING  its wait status is in, its output hasn't ended
    ENDING    no command will run any more; what is left of the tree is being ended
    CLOSING   nothing of the tree is left; the last bytes are read out of the pipes
    FINISHED  the log is closed

Rules
1. A command is finished when its wait status is in and its output has ended, in either order; the
   wait for the end of output is bounded by the drain grace.
2. The job is killed when a signal of ours was sent before the wait status of the command that ends
   it was read, or when none was running and more were to run. Else it exited.
3. A kill is TERM (or the signal asked for) to the whole tree, grace, KILL. A later request can only
   shorten the grace.
4. A job that ended by itself leaves nothing behind either: TERM, SWEEP_GRACE_S, KILL to the rest.
5. The job is finished only when the tree was seen empty and the pipes have ended. Both waits are
   bounded, and what a bound cut off is told: `verified_gone` and `complete` are then false.
"""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

# Seconds between TERM and KILL for what a job left behind.
SWEEP_GRACE_S: Final = 2.0
# Seconds after KILL until a process counts as stuck in the kernel: KILL acts in milliseconds,
# unless the process sits in an uninterruptible wait.
STUCK_AFTER_KILL_S: Final = 30.0


class Phase(Enum):
    IDLE = "idle"
    RUNNING = "running"
    DRAINING = "draining"
    ENDING = "ending"
    CLOSING = "closing"
    FINISHED = "finished"


class Timer(Enum):
    """Each timer of a job runs at most once at a time; arming it again moves it."""

    DEADLINE = "deadline"
    DRAIN = "drain"
    GRACE = "grace"
    STUCK = "stuck"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Spawn:
    number: int


@dataclass(frozen=True, slots=True)
class SignalTree:
    """Send this signal to every process of the tree; KILL until nothing new is found."""

    signal: int


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the tree, and tell by `tree_seen` how many processes are alive."""


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


Action = Spawn | SignalTree | Look | Arm | Disarm | Drain | CloseLog | Emit


@dataclass(slots=True)
class KillRequest:
    """A kill as first asked for; `grace_s` follows when a later request shortens it."""

    signal: int
    grace_s: float
    reason: str
    requested_at: int
    escalated: bool = False


class Course:
    """The course of one job; see the module's rules."""

    __slots__ = (
        "_deadline_grace_s",
        "_drain_s",
        "_end_if",
        "_expires",
        "_gone",
        "_hard",
        "_killed",
        "_missing",
        "_open",
        "_status",
        "_status_after_kill",
        "asked",
        "kill",
        "phase",
    )

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.asked = -1
        self.kill: KillRequest | None = None
        self._open: dict[int, int] = {}  # command → streams whose end hasn't come
        self._status: int | None = None
        self._status_after_kill = False
        self._end_if = "always"
        self._drain_s = 2.0
        self._deadline_grace_s = 0.0
        self._killed = False  # the verdict, set when the job ends
        self._hard = False  # KILL has begun
        self._gone = True
        self._missing = False
        self._expires = 0.0  # monotonic end of the grace

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor."""
        state = {name.lstrip("_"): getattr(self, name) for name in self.__slots__}
        state["phase"] = self.phase.value
        state["open"] = list(self._open.items())
        state["kill"] = asdict(self.kill) if self.kill is not None else None
        return state

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Course:
        """The course that `state` describes; what an older release lacks keeps its default."""
        course = cls()
        for name in cls.__slots__:
            if (key := name.lstrip("_")) in state:
                setattr(course, name, state[key])
        course.phase = Phase(state["phase"])
        course._open = dict(map(tuple, state["open"]))
        course.kill = KillRequest(**state["kill"]) if state["kill"] is not None else None
        return course

    @property
    def watches_tree(self) -> bool:
        """True while each death in the tree may change something."""
        return self.phase is Phase.ENDING or (self.kill is not None and self._is_up)

    @property
    def _is_up(self) -> bool:
        return self.phase in (Phase.RUNNING, Phase.DRAINING)

    def start(self, number: int, *, end_if: str, drain_s: float) -> list[Action]:
        """The owner asks for a command. `end_if`: after it the job ends `always`, `never`, or when
        it doesn't exit 0 (`nonzero`). A repeat, and a start after a kill, is answered by nothing.
        """
        if self.phase is not Phase.IDLE or number <= self.asked:
            return []
        self.asked = number
        self._end_if = end_if
        self._drain_s = drain_s
        self._status = None
        self._status_after_kill = False
        return [Spawn(number)]

    def spawned(self, *, streams: int, timeout_s: float, grace_s: float, at: int) -> list[Action]:
        """The command runs. `timeout_s` (0: none) counts from the first command of the job."""
        self.phase = Phase.RUNNING
        first = not self._open
        self._open[self.asked] = streams
        actions: list[Action] = [Emit("started", {"n": self.asked, "at": at})]
        if first and timeout_s:
            self._deadline_grace_s = grace_s
            actions.append(Arm(Timer.DEADLINE, timeout_s))
        return actions

    def refused(self, error: str, at: int) -> list[Action]:
        """The command couldn't be started: an outcome, like an exit code other than 0."""
        ends = self._end_if != "never"
        actions: list[Action] = [
            Emit("refused", {"n": self.asked, "at": at, "error": error, "ends": ends})
        ]
        return actions + self._end(killed=False) if ends else actions

    def wait_status(self, status: int, at: int) -> list[Action]:
        """The command's process was reaped: 0–255 an exit code, below 0 a signal."""
        if self.phase is not Phase.RUNNING:
            return []  # it was stuck in the kernel, and nobody waits for it any more
        self._status = status
        self._status_after_kill = self.kill is not None
        if not self._open[self.asked]:
            return self._command_finished(at)
        self.phase = Phase.DRAINING
        return [Arm(Timer.DRAIN, self._drain_s)]

    def stream_ended(self, number: int, at: int) -> list[Action]:
        self._open[number] -= 1
        if self.phase is Phase.DRAINING and not self._open[self.asked]:
            return self._command_finished(at)
        if self.phase is Phase.CLOSING and not any(self._open.values()):
            return self._finish()
        return []

    def request_kill(self, request: KillRequest, now: float) -> list[Action]:
        """Somebody wants the job ended. `now` is monotonic."""
        if self.phase in (Phase.CLOSING, Phase.FINISHED):
            return []
        hard = request.signal == signal.SIGKILL or not request.grace_s
        if self.kill is not None or self.phase is Phase.ENDING:
            return self._shorten(request, now, hard=hard)
        self.kill = request
        actions: list[Action] = [Disarm(Timer.DEADLINE)]
        if hard:
            request.signal = signal.SIGKILL
            actions += self._kill_hard()
        else:
            self._expires = now + request.grace_s
            actions += [SignalTree(request.signal), Arm(Timer.GRACE, request.grace_s)]
        if self.phase is Phase.IDLE:
            self.phase = Phase.ENDING
            self._killed = True
            actions.append(Look())
        return actions

    def timer_passed(self, timer: Timer, *, at: int, now: float, stalled: bool) -> list[Action]:
        """`stalled`: bytes wait in the pipes as the disk takes none; no bound cuts them off."""
        if timer is Timer.DEADLINE:
            request = KillRequest(signal.SIGTERM, self._deadline_grace_s, "timeout", at)
            return self.request_kill(request, now)
        if timer is Timer.DRAIN and self.phase is Phase.DRAINING:
            if stalled and not self.kill:
                return [Arm(Timer.DRAIN, self._drain_s)]
            return self._command_finished(at)
        if timer is Timer.GRACE and self.watches_tree:
            if self.kill is not None:
                self.kill.escalated = True
            return self._kill_hard()
        if timer is Timer.STUCK and self.watches_tree:
            self._gone = False
            ended: list[Action] = []
            if self._is_up:
                ended = self._command_finished(at)
            return ended + self._close()
        if timer is Timer.CLOSING and self.phase is Phase.CLOSING:
            if stalled:
                # Armed first: the last byte may come out now, and ends the job.
                return [Arm(Timer.CLOSING, self._drain_s), Drain()]
            self._missing = True
            return self._finish()
        return []

    def tree_seen(self, alive: int, now: float) -> list[Action]:
        """The tree was looked at: after `Look`, and after each batch of deaths while
        `watches_tree`.
        """
        if self.phase is Phase.ENDING and not alive:
            return self._close()
        if self._hard and alive and self.watches_tree:
            return [SignalTree(signal.SIGKILL)]
        if self.phase is Phase.ENDING and self.kill is None and not self._expires:
            self._expires = now + SWEEP_GRACE_S
            return [SignalTree(signal.SIGTERM), Arm(Timer.GRACE, SWEEP_GRACE_S)]
        return []

    def receipt(self, found: int) -> dict[str, Any] | None:
        """The kill as it went, for the record; None when the job wasn't killed."""
        if self.kill is None or not self._killed:
            return None
        return {
            "reason": self.kill.reason,
            "requested_at": self.kill.requested_at,
            "signal": self.kill.signal,
            "grace_s": self.kill.grace_s,
            "found": found,
            "escalated": self.kill.escalated,
            "verified_gone": self._gone,
        }

    def _shorten(self, request: KillRequest, now: float, *, hard: bool) -> list[Action]:
        if self._hard:
            return []
        if hard:
            if self.kill is not None:
                self.kill.grace_s = 0.0
                self.kill.escalated = True
            return self._kill_hard()
        expires = now + request.grace_s
        if expires >= self._expires:
            return []
        self._expires = expires
        if self.kill is not None:
            self.kill.grace_s = request.grace_s
        return [Arm(Timer.GRACE, request.grace_s)]

    def _kill_hard(self) -> list[Action]:
        self._hard = True
        return [
            Disarm(Timer.GRACE),
            SignalTree(signal.SIGKILL),
            Arm(Timer.STUCK, STUCK_AFTER_KILL_S),
        ]

    def _command_finished(self, at: int) -> list[Action]:
        status = self._status
        by_itself = (
            status is not None
            and not self._status_after_kill
            and (self._end_if == "always" or (self._end_if == "nonzero" and status != 0))
        )
        ends = by_itself or self.kill is not None
        actions: list[Action] = [
            Disarm(Timer.DRAIN),
            Emit(
                "ended",
                {
                    "n": self.asked,
                    "at": at,
                    "status": status,
                    "killed": self._status_after_kill or status is None,
                    "ends": ends,
                },
            ),
        ]
        if not ends:
            self.phase = Phase.IDLE
            return actions
        return actions + self._end(killed=not by_itself)

    def _end(self, *, killed: bool) -> list[Action]:
        self.phase = Phase.ENDING
        self._killed = killed
        return [Disarm(Timer.DEADLINE), Look()]

    def _close(self) -> list[Action]:
        self.phase = Phase.CLOSING
        actions: list[Action] = [Disarm(Timer.GRACE), Disarm(Timer.STUCK)]
        if not any(self._open.values()):
            return actions + self._finish()
        return [*actions, Arm(Timer.CLOSING, self._drain_s), Drain()]

    def _finish(self) -> list[Action]:
        self.phase = Phase.FINISHED
        verdict = "killed" if self._killed else "exited"
        return [
            Disarm(Timer.CLOSING),
            CloseLog(complete=not self._missing),
            Emit("finished", {"verdict": verdict, "complete": not self._missing}),
        ]
