"""TERM, grace, KILL to a whole process tree, without I/O: for a kill, and for orphans of a job."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from service.supervisor.job.effects import Arm, Disarm, Effect, SignalTree, Timer
from service.supervisor.job.ending import KillRequest

# Seconds between TERM and KILL for what a job left behind.
ORPHAN_GRACE_S: Final = 2.0
# Seconds after KILL until a process counts as stuck in the kernel: KILL acts in milliseconds,
# unless the process sits in an uninterruptible wait.
STUCK_AFTER_KILL_S: Final = 30.0


@dataclass(slots=True)
class Escalation:
    """How far it got. `kill`: the first request, if it is for a kill. `grace_ends`: when KILL is
    due, by the monotonic clock; 0: the grace hasn't begun. `kill_sent`: KILL was sent.
    """

    kill: KillRequest | None = None
    grace_ends: float = 0.0
    kill_sent: bool = False

    @property
    def has_begun(self) -> bool:
        return self.kill_sent or self.grace_ends > 0

    def begin(self, request: KillRequest, now: float) -> list[Effect]:
        """The first request for a kill."""
        self.kill = request
        if request.is_hard:
            request.signal = signal.SIGKILL
            return self._send_kill()
        return self._begin(request.signal, request.grace_s, now)

    def begin_for_orphans(self, now: float) -> list[Effect]:
        """The job has ended by itself, and left processes behind."""
        return self._begin(signal.SIGTERM, ORPHAN_GRACE_S, now)

    def shorten(self, request: KillRequest, now: float) -> list[Effect]:
        """A later request: end the grace sooner; no effects when that wouldn't be sooner."""
        ends = now + request.grace_s
        if self.kill_sent or (ends >= self.grace_ends and not request.is_hard):
            return []
        if request.is_hard:
            if self.kill is not None:
                self.kill.grace_s = 0.0
            return self.escalate()
        self.grace_ends = ends
        if self.kill is not None:
            self.kill.grace_s = request.grace_s
        return [Arm(Timer.GRACE, request.grace_s)]

    def escalate(self) -> list[Effect]:
        """The grace is over."""
        if self.kill is not None:
            self.kill.escalated = True
        return self._send_kill()

    def stop(self) -> list[Effect]:
        """Nothing is left that a signal could end."""
        return [Disarm(Timer.GRACE), Disarm(Timer.STUCK)]

    def _begin(self, number: int, grace_s: float, now: float) -> list[Effect]:
        self.grace_ends = now + grace_s
        return [SignalTree(number), Arm(Timer.GRACE, grace_s)]

    def _send_kill(self) -> list[Effect]:
        self.kill_sent = True
        return [
            Disarm(Timer.GRACE),
            SignalTree(signal.SIGKILL),
            Arm(Timer.STUCK, STUCK_AFTER_KILL_S),
        ]
