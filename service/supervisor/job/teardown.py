"""The order of a job's clean-ups, without any I/O: one at a time, each until it worked or a bound.

A command whose work isn't all done by children of the supervisor leaves something behind when it is
killed, and perhaps when it ends. Its clean-up is tried `ATTEMPTS` times; one that never worked is
told by `failed`, and the job ends all the same.
"""

from __future__ import annotations

from typing import Any, Final

from service.supervisor.job.effects import AbandonCleanUp, Action, Arm, CleanUp, Disarm, Timer

# How often a clean-up is tried, and seconds between two tries: what it needs may be restarting.
ATTEMPTS: Final = 6
PAUSE_S: Final = 1.0
# Seconds that one try may take: removing a container waits ten for its processes' death.
TRY_S: Final = 15.0


class Cleaning:
    """The clean-ups of one job. The first of `waiting` is the one that runs, or rests."""

    __slots__ = ("done", "failed", "is_running", "tries", "waiting")

    def __init__(self) -> None:
        self.waiting: list[tuple[int, bool]] = []  # command, and whether thoroughly
        self.done: set[int] = set()
        self.is_running = False
        self.tries = 0
        self.failed = False

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor."""
        state = {name: getattr(self, name) for name in self.__slots__}
        return {**state, "done": sorted(self.done), "waiting": list(self.waiting)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Cleaning:
        cleaning = cls()
        for name, value in state.items():
            setattr(cleaning, name, value)
        cleaning.done = set(state["done"])
        cleaning.waiting = [(number, thorough) for number, thorough in state["waiting"]]
        return cleaning

    @property
    def is_over(self) -> bool:
        """True while nothing is to be cleaned up."""
        return not self.waiting

    def want(self, number: int, *, thorough: bool) -> list[Action]:
        """Clean up after this command, once; a clean-up that is asked for again changes nothing."""
        if number in self.done or any(number == waiting for waiting, _ in self.waiting):
            return []
        self.waiting.append((number, thorough))
        return self._begin() if len(self.waiting) == 1 else []

    def ended(self, *, ok: bool) -> list[Action]:
        """The clean-up that ran has ended, or couldn't be started."""
        if not self.is_running:
            return []
        self.is_running = False
        if not ok:
            self.tries += 1
            if self.tries < ATTEMPTS:
                return [Arm(Timer.CLEANING, PAUSE_S)]
            self.failed = True
        self.tries = 0
        number, _ = self.waiting.pop(0)
        self.done.add(number)
        return self._begin() if self.waiting else [Disarm(Timer.CLEANING)]

    def timer_passed(self) -> list[Action]:
        """The bound of a try, or the pause before the next one."""
        if self.is_running:
            return [AbandonCleanUp(), *self.ended(ok=False)]
        return self._begin() if self.waiting else []

    def _begin(self) -> list[Action]:
        number, thorough = self.waiting[0]
        self.is_running = True
        # Armed first: one that can't be started ends at once, and its pause is the next timer.
        return [Arm(Timer.CLEANING, TRY_S), CleanUp(number, thorough or self.tries > 0)]
