"""How one job runs its course: the decisions of the supervisor, without any I/O.

A `Course` is told what happened and answers with what to do (`Action`s, in order). It knows no
process, no descriptor and no clock; `job.py` carries its actions out.

Phases
    IDLE      no command runs; one more is expected
    RUNNING   a command was spawned, its wait status isn't in
    JUDGING   its wait status doesn't tell how it ended; a program of its Kind finds out
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
5. The job is finished only when the tree was seen empty, the pipes have ended and every clean-up
   is over. All waits are bounded, and what a bound cut off is told: `verified_gone` and `complete`
   are then false. Only for room on the disk a job waits as long as it takes, unless somebody wants
   it ended.
6. A job that waits for its first command longer than it may, or that has been silent for too long,
   is killed like one whose time is up. Nothing counts as silence while no command runs, or while
   the disk takes no bytes.
7. A command with a verdict has its wait status when the verdict is in, not before. KILL ends the
   verdict too, and begins the clean-up at once: what it is about is no child of ours.
8. A job whose output can't be written any more is killed like one whose time is up, and the command
   that runs has an error that says why.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

from service.supervisor.job.effects import (
    Action,
    Arm,
    CloseLog,
    Disarm,
    Drain,
    Emit,
    Judge,
    Look,
    SignalTree,
    Spawn,
    Timer,
)
from service.supervisor.job.teardown import Cleaning

__all__ = [
    "STUCK_AFTER_KILL_S",
    "SWEEP_GRACE_S",
    "Action",
    "Arm",
    "CloseLog",
    "Course",
    "Disarm",
    "Drain",
    "Emit",
    "Judge",
    "KillRequest",
    "Look",
    "Phase",
    "SignalTree",
    "Spawn",
    "Timer",
]

# Seconds between TERM and KILL for what a job left behind.
SWEEP_GRACE_S: Final = 2.0
# Seconds after KILL until a process counts as stuck in the kernel: KILL acts in milliseconds,
# unless the process sits in an uninterruptible wait.
STUCK_AFTER_KILL_S: Final = 30.0
# Why a job is killed when one of these has passed.
_REASONS: Final = {
    Timer.QUEUE: "queue-timeout",
    Timer.DEADLINE: "timeout",
    Timer.IDLE: "idle-timeout",
}


class Phase(Enum):
    IDLE = "idle"
    RUNNING = "running"
    JUDGING = "judging"
    DRAINING = "draining"
    ENDING = "ending"
    CLOSING = "closing"
    FINISHED = "finished"


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
        "_cleans",
        "_cut_off",
        "_deadline_grace_s",
        "_drain_s",
        "_end_if",
        "_expires",
        "_gone",
        "_hard",
        "_idle_s",
        "_is_wanted_over",
        "_killed",
        "_log_error",
        "_missing",
        "_open",
        "_report",
        "_status",
        "_status_after_kill",
        "_verdict_if",
        "_was_judged",
        "asked",
        "cleaning",
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
        self._verdict_if: Sequence[Sequence[int]] = ()
        self._was_judged = False
        self._report: dict[str, Any] = {}  # what the verdict of the command says beyond its status
        self._cleans = False  # the command needs a clean-up
        self.cleaning = Cleaning()
        self._end_if = "always"
        self._drain_s = 2.0
        self._deadline_grace_s = 0.0
        self._idle_s = 0.0
        self._killed = False  # the verdict, set when the job ends
        self._hard = False  # KILL has begun
        self._gone = True
        self._missing = False
        self._is_wanted_over = False  # a kill came when only bytes in the pipes were left
        self._log_error = ""  # why the output can't be written
        self._cut_off = False  # the last wait for the end of output has passed
        self._expires = 0.0  # monotonic end of the grace

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor."""
        state = {name.lstrip("_"): getattr(self, name) for name in self.__slots__}
        state["phase"] = self.phase.value
        state["open"] = list(self._open.items())
        state["cleaning"] = self.cleaning.state()
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
        course.cleaning = (
            Cleaning.from_state(state["cleaning"]) if "cleaning" in state else Cleaning()
        )
        course.kill = KillRequest(**state["kill"]) if state["kill"] is not None else None
        return course

    @property
    def watches_tree(self) -> bool:
        """True while each death in the tree may change something."""
        return self.phase is Phase.ENDING or (self.kill is not None and self._is_up)

    @property
    def _is_up(self) -> bool:
        return self.phase in (Phase.RUNNING, Phase.JUDGING, Phase.DRAINING)

    def wait_for_turn(self, queue_s: float, grace_s: float) -> list[Action]:
        """The job may be pending for so long."""
        self._deadline_grace_s = grace_s
        return [Arm(Timer.QUEUE, queue_s)]

    def start(
        self,
        number: int,
        *,
        end_if: str,
        drain_s: float,
        verdict_if: Sequence[Sequence[int]] = (),
        cleans: bool = False,
    ) -> list[Action]:
        """The owner asks for a command. `end_if`: after it the job ends `always`, `never`, or when
        it doesn't exit 0 (`nonzero`). `verdict_if`: wait statuses that don't tell how it ended, as
        ranges with both their ends. `cleans`: it needs a clean-up. A repeat, and a start after a
        kill, is answered by nothing.
        """
        if self.phase is not Phase.IDLE or number <= self.asked:
            return []
        is_first = self.asked < 0
        self.asked = number
        self._end_if = end_if
        self._drain_s = drain_s
        self._status = None
        self._status_after_kill = False
        self._verdict_if = verdict_if
        self._was_judged = False
        self._report = {}
        self._cleans = cleans
        return [Disarm(Timer.QUEUE), Spawn(number)] if is_first else [Spawn(number)]

    def spawned(
        self, *, streams: int, timeout_s: float, grace_s: float, at: int, idle_s: float = 0.0
    ) -> list[Action]:
        """The command runs. `timeout_s` counts from the first command of the job, `idle_s` from its
        last byte of output; 0: none.
        """
        self.phase = Phase.RUNNING
        first = not self._open
        self._open[self.asked] = streams
        actions: list[Action] = [Emit("started", {"n": self.asked, "at": at})]
        if first:
            self._deadline_grace_s = grace_s
            self._idle_s = idle_s
            if timeout_s:
                actions.append(Arm(Timer.DEADLINE, timeout_s))
            if idle_s:
                actions.append(Arm(Timer.IDLE, idle_s))
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
        if not self._hard and any(low <= status <= high for low, high in self._verdict_if):
            self.phase = Phase.JUDGING
            self._was_judged = True
            return [Judge(self.asked, status, self.kill.signal if self.kill is not None else 0)]
        return self._has_status(status, at)

    def ran_out_of_memory(self) -> None:
        """The kernel has ended a process of the command that is just ending."""
        self._report["oom_killed"] = True

    def judging(self, streams: int) -> None:
        """The verdict was spawned; it writes into the command's output."""
        self._open[self.asked] += streams

    def judged(self, status: int, report: dict[str, Any], at: int) -> list[Action]:
        """The verdict is in: `status` is what counts as the command's own, unless `report` has an
        `error`, which says why there is none.
        """
        if self.phase is not Phase.JUDGING:
            return []
        said = {key: report[key] for key in ("error", "oom_killed") if report.get(key)}
        self._report = {**self._report, **said}
        self._missing = self._missing or report.get("complete") is False
        return self._has_status(None if "error" in self._report else status, at)

    def _has_status(self, status: int | None, at: int) -> list[Action]:
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
        return self._finish_if_over()

    def log_failed(self, error: str, at: int, now: float) -> list[Action]:
        """The log will take no bytes any more, and no room that is made heals that."""
        self._log_error = self._log_error or error
        request = KillRequest(signal.SIGTERM, self._deadline_grace_s, "output", at)
        return self.request_kill(request, now)

    def cleaned_up(self, *, ok: bool) -> list[Action]:
        """The clean-up under way has ended, or couldn't be started."""
        return self.cleaning.ended(ok=ok) + self._finish_if_over()

    def request_kill(self, request: KillRequest, now: float) -> list[Action]:
        """Somebody wants the job ended. `now` is monotonic."""
        if self.phase in (Phase.CLOSING, Phase.FINISHED):
            self._is_wanted_over = True
            return []
        hard = request.signal == signal.SIGKILL or not request.grace_s
        if self.kill is not None or self.phase is Phase.ENDING:
            return self._shorten(request, now, hard=hard)
        self.kill = request
        actions = self._disarm_deadlines()
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

    def timer_passed(
        self, timer: Timer, *, at: int, now: float, stalled: bool, quiet_s: float = 0.0
    ) -> list[Action]:
        """`stalled`: bytes wait in the pipes as the disk takes none; no bound cuts them off.
        `quiet_s`: since the last byte of output, or the job's first command.
        """
        if timer in _REASONS:
            rest = self._rest_of_silence(quiet_s, stalled=stalled) if timer is Timer.IDLE else 0.0
            request = KillRequest(signal.SIGTERM, self._deadline_grace_s, _REASONS[timer], at)
            return [Arm(timer, rest)] if rest else self.request_kill(request, now)
        if timer is Timer.DRAIN and self.phase is Phase.DRAINING:
            if stalled and not self.kill:
                return [Arm(Timer.DRAIN, self._drain_s)]
            # The same wait again would be longer than a kill may take.
            if stalled:
                self._missing = self._cut_off = True
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
            return self._closing_passed(stalled=stalled)
        if timer is Timer.CLEANING:
            return self.cleaning.timer_passed() + self._finish_if_over()
        return []

    def tree_seen(self, *, is_alive: bool, now: float) -> list[Action]:
        """The tree was looked at: after `Look`, and after each batch of deaths while
        `watches_tree`.
        """
        if self.phase is Phase.ENDING and not is_alive:
            return self._close()
        if self._hard and is_alive and self.watches_tree:
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
            "verified_gone": self._gone and not self.cleaning.failed,
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
        actions: list[Action] = [
            Disarm(Timer.GRACE),
            SignalTree(signal.SIGKILL),
            Arm(Timer.STUCK, STUCK_AFTER_KILL_S),
        ]
        if self._is_up and self._cleans:
            actions += self.cleaning.want(self.asked, thorough=True)
        return actions

    def _command_finished(self, at: int) -> list[Action]:
        status = self._status
        has_ended = status is not None or "error" in self._report
        by_itself = (
            has_ended
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
                    "killed": self._status_after_kill or not has_ended,
                    "ends": ends,
                    **({"error": self._log_error} if self._log_error else {}),
                    **self._report,
                },
            ),
        ]
        if self._cleans:
            is_ordinary = status is not None and not self._was_judged
            actions += self.cleaning.want(self.asked, thorough=not is_ordinary)
        if not ends:
            self.phase = Phase.IDLE
            return actions
        return actions + self._end(killed=not by_itself)

    def _end(self, *, killed: bool) -> list[Action]:
        self.phase = Phase.ENDING
        self._killed = killed
        return [*self._disarm_deadlines(), Look()]

    def _disarm_deadlines(self) -> list[Action]:
        timers = [Timer.DEADLINE, Timer.IDLE] if self._idle_s else [Timer.DEADLINE]
        return [Disarm(timer) for timer in ([Timer.QUEUE] if self.asked < 0 else timers)]

    def _rest_of_silence(self, quiet_s: float, *, stalled: bool) -> float:
        if stalled or self.phase is Phase.IDLE:
            return self._idle_s
        return max(0.0, self._idle_s - quiet_s)

    def _close(self) -> list[Action]:
        self.phase = Phase.CLOSING
        actions: list[Action] = [Disarm(Timer.GRACE), Disarm(Timer.STUCK)]
        if self._cut_off or not any(self._open.values()):
            return actions + self._finish_if_over()
        return [*actions, Arm(Timer.CLOSING, self._drain_s), Drain()]

    def _closing_passed(self, *, stalled: bool) -> list[Action]:
        if stalled and not (self.kill or self._is_wanted_over or self._log_error):
            # Armed first: the last byte may come out now, and ends the job.
            return [Arm(Timer.CLOSING, self._drain_s), Drain()]
        self._missing = self._cut_off = True
        return self._finish_if_over()

    def _finish_if_over(self) -> list[Action]:
        has_output_ended = self._cut_off or not any(self._open.values())
        if self.phase is Phase.CLOSING and has_output_ended and self.cleaning.is_over:
            return self._finish()
        return []

    def _finish(self) -> list[Action]:
        self.phase = Phase.FINISHED
        verdict = "killed" if self._killed else "exited"
        return [
            Disarm(Timer.CLOSING),
            CloseLog(complete=not self._missing),
            Emit("finished", {"verdict": verdict, "complete": not self._missing}),
        ]
