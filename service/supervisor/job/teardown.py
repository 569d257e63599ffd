"""The order of a job's cleanups, without I/O: one at a time, each until it succeeds or a bound.

A command whose work isn't all done by children of the supervisor leaves something behind when it is
killed, and may do so when it ends. Its cleanup is tried `ATTEMPTS` times; `failed` reports that one
never succeeded. The job ends nevertheless.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from service.supervisor.job.effects import AbandonCleanUp, Arm, CleanUp, Disarm, Effect, Timer

# How often a cleanup is tried, and seconds between two tries: what it needs may be restarting.
ATTEMPTS: Final = 6
PAUSE_S: Final = 1.0
# Seconds that one try may take: removing a container waits ten for its processes' death.
TRY_S: Final = 15.0


@dataclass(slots=True)
class Teardown:
    """The cleanups of one job. The first of `waiting` (command, and whether by force) is the one
    that runs, or pauses before its next try. `done`: commands that are cleaned up, or given up.
    """

    waiting: list[tuple[int, bool]] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    is_running: bool = False
    tries: int = 0
    failed: bool = False

    @property
    def is_over(self) -> bool:
        """True while nothing is to be cleaned up."""
        return not self.waiting

    def request(self, number: int, *, force: bool) -> list[Effect]:
        """Clean up after this command, once; a second request changes nothing."""
        if number in self.done or any(number == waiting for waiting, _ in self.waiting):
            return []
        self.waiting.append((number, force))
        return self._begin() if len(self.waiting) == 1 else []

    def ended(self, *, ok: bool) -> list[Effect]:
        """The cleanup that ran has ended, or couldn't be started."""
        if not self.is_running:
            return []
        self.is_running = False
        if not ok:
            self.tries += 1
            if self.tries < ATTEMPTS:
                return [Arm(Timer.TEARDOWN, PAUSE_S)]
            self.failed = True
        self.tries = 0
        number, _ = self.waiting.pop(0)
        self.done.add(number)
        return self._begin() if self.waiting else [Disarm(Timer.TEARDOWN)]

    def timer_fired(self) -> list[Effect]:
        """The bound of a try has passed, or the pause before the next one."""
        if self.is_running:
            return [AbandonCleanUp(), *self.ended(ok=False)]
        return self._begin() if self.waiting else []

    def _begin(self) -> list[Effect]:
        number, force = self.waiting[0]
        self.is_running = True
        # Armed first: one that can't be started ends at once, and its pause is the next timer.
        return [Arm(Timer.TEARDOWN, TRY_S), CleanUp(number, force or self.tries > 0)]
