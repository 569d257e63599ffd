"""How long a job waited and ran, by a clock that nobody sets. The times of events are the wall
clock's: where that was set meanwhile, their differences are wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from service.link.job_events import Ended, Refused, Started


def seconds() -> float:
    """Since the boot, suspended times included; it goes on over an exec."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Stopwatch:
    """When the job was claimed, when its first command began, and its latest; 0: not known."""

    claimed: float = field(default_factory=seconds)
    began: float = 0.0
    command_began: float = 0.0

    def begin(self) -> None:
        """A command is about to be spawned: it may run before the call that does it returns."""
        self.command_began = seconds()

    def add_to(self, event: Started | Refused | Ended) -> None:
        """Say how long the job waited before its first command, and how long what ended took."""
        if event["name"] == "started" and not self.began:
            self.began = self.command_began
            if self.claimed:
                event["waited_s"] = round(self.began - self.claimed, 6)
        elif event["name"] == "ended" and self.command_began:
            event["lasted_s"] = round(seconds() - self.command_began, 6)

    def since_start(self) -> float | None:
        """Seconds since the first command began; None when none did."""
        return round(seconds() - self.began, 6) if self.began else None
