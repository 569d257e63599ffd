"""TERM, grace, KILL to a whole process tree, without I/O: for a kill, and for orphans of a job."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Final

from service.supervisor.job.effects import Arm, Disarm, Effect, SignalTree, Timer
from service.supervisor.job.ending import KillRequest

# Seconds between TERM and KILL for what a job left behind.
ORPHAN_GRACE_S: Final = 2.0
# Seconds after KILL until a process counts as stuck in the kernel: KILL acts in milliseconds,
# unless the process sits in an uninterruptible wait.
STUCK_AFTER_KILL_S: Final = 30.0
# Later requests that a receipt tells of: the newest. A client may ask as often as it likes.
MAX_LATER: Final = 20
# Why a kill is requested when the service stops.
SHUTDOWN: Final = "shutdown"


@dataclass(slots=True)
class Escalation:
    """How far it got. `kill`: the first request, if it is for a kill. `later`: the newest requests
    after it, or after the job had ended by itself. `grace_ends`: when KILL is due, by the monotonic
    clock; 0: the grace hasn't begun. `kill_sent`: KILL was sent.
    """

    kill: KillRequest | None = None
    later: list[KillRequest] = field(default_factory=list)
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

    def go_on(self, request: KillRequest, now: float) -> list[Effect]:
        """A later request: its signal as well, and the end of the grace when that is sooner. No
        effects when KILL was sent, or when this request has come before.
        """
        if self.kill_sent or not self.has_begun or self._is_known(request):
            return []
        # A service that stops asks for no more than that the signal was sent.
        is_needed = request.reason != SHUTDOWN or request.signal not in self._sent
        if is_needed:
            self.later = [*self.later, request][-MAX_LATER:]
        if request.is_hard:
            request.signal = signal.SIGKILL
            self._shorten(0.0)
            return self.escalate()
        effects: list[Effect] = [SignalTree(request.signal)] if is_needed else []
        if (ends := now + request.grace_s) < self.grace_ends:
            self.grace_ends = ends
            self._shorten(request.grace_s)
            effects.append(Arm(Timer.GRACE, request.grace_s))
        return effects

    @property
    def last_signal(self) -> int:
        """Of the kill under way; 0: none."""
        if self.kill is None:
            return 0
        return self.later[-1].signal if self.later else self.kill.signal

    @property
    def _sent(self) -> set[int]:
        first = signal.SIGTERM if self.kill is None else self.kill.signal
        return {first, *(request.signal for request in self.later)}

    def _is_known(self, request: KillRequest) -> bool:
        """A worker sends one again when it can't know whether it has arrived."""
        first = [] if self.kill is None else [self.kill]
        return any(known.requested_at == request.requested_at for known in (*first, *self.later))

    def _shorten(self, grace_s: float) -> None:
        if self.kill is not None:
            self.kill.grace_s = grace_s

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
