"""What bounds a job from outside of its commands, without I/O: the wait for its first command, its
timeout, and how long it may be silent. Each ends in a kill with a reason of its own.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from service.supervisor.job.effects import Arm, Disarm, Effect, Timer
from service.supervisor.job.ending import KillRequest

_REASONS: Final = {
    Timer.QUEUE: "queue-timeout",
    Timer.DEADLINE: "timeout",
    Timer.IDLE: "idle-timeout",
}


@dataclass(slots=True)
class Deadlines:
    """`grace_s`: that of the kills. `idle_s`: how long the job may be silent; 0: for ever."""

    grace_s: float = 0.0
    idle_s: float = 0.0

    def wait_for_slot(self, queue_s: float, grace_s: float) -> list[Effect]:
        self.grace_s = grace_s
        return [Arm(Timer.QUEUE, queue_s)]

    def begin(self, *, timeout_s: float, idle_s: float, grace_s: float) -> list[Effect]:
        """The job's first command runs. 0: no bound."""
        self.grace_s = grace_s
        self.idle_s = idle_s
        bounds = ((Timer.DEADLINE, timeout_s), (Timer.IDLE, idle_s))
        return [Arm(timer, seconds) for timer, seconds in bounds if seconds]

    def stop(self, *, is_pending: bool = False) -> list[Effect]:
        """The job is ending. `is_pending`: no command was dispatched."""
        if is_pending:
            return [Disarm(Timer.QUEUE)]
        timers = [Timer.DEADLINE, Timer.IDLE] if self.idle_s else [Timer.DEADLINE]
        return [Disarm(timer) for timer in timers]

    def rest_of_silence(self, quiet_s: float) -> list[Effect]:
        """The job has been silent for `quiet_s`; no effects when that is too long."""
        rest_s = max(0.0, self.idle_s - quiet_s)
        return [Arm(Timer.IDLE, rest_s)] if rest_s else []

    def kill(self, timer: Timer, at: int) -> KillRequest:
        """The kill because this timer has fired."""
        return KillRequest(signal.SIGTERM, self.grace_s, _REASONS[timer], at)
