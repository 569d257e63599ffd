"""The command that was dispatched last: what was requested, and what is known of its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from service.link.job_events import Ended, Refused, Started

# What of a status probe's report stays with the command, besides the status.
REPORTED: Final = ("error", "oom_killed", "facts", "gone")


@dataclass(slots=True)
class Command:
    """One command; a new value for each, so that nothing of an earlier one is left.

    `end_if`: after it the job ends `always`, `never`, or when it doesn't exit 0 (`nonzero`).
    `probe_if`: wait statuses that don't say how it ended, as ranges with both ends. `status`: an
    exit code, or minus a signal. `report`: what the status probe reports besides the status.
    `passes_on`: signals that its process passes on to what it runs; none: it is what runs, and gets
    them all. `is_wrapped`: its process and the child of that are the service's, and hold what runs.
    """

    number: int = -1  # none was dispatched
    end_if: str = "always"
    drain_s: float = 2.0
    probe_if: Sequence[Sequence[int]] = ()
    needs_cleanup: bool = False
    passes_on: Sequence[int] = ()
    is_wrapped: bool = False
    status: int | None = None
    ended_after_kill: bool = False
    was_probed: bool = False
    report: dict[str, Any] = field(default_factory=dict)

    def needs_probe(self, status: int) -> bool:
        return any(low <= status <= high for low, high in self.probe_if)

    def passes_on_signal(self, number: int) -> bool:
        return not self.passes_on or number in self.passes_on

    @property
    def has_ended(self) -> bool:
        """Whether it is known how it ended: by a status, or by an error instead of one."""
        return self.status is not None or "error" in self.report

    @property
    def ends_job(self) -> bool:
        """Whether the job ends with it, without any kill."""
        if not self.has_ended or self.ended_after_kill:
            return False
        return self.end_if == "always" or (self.end_if == "nonzero" and self.status != 0)

    @property
    def leaves_something(self) -> bool:
        """Whether its cleanup has anything to do: its status probe hasn't seen that all is gone."""
        return self.needs_cleanup and not self.report.get("gone")

    @property
    def needs_force(self) -> bool:
        """Whether only the force cleanup will do: it didn't end in the ordinary way."""
        return self.status is None or self.was_probed

    def started(self, at: int) -> Started:
        """Its event `started`."""
        return {"name": "started", "command": self.number, "at": at}

    def refused(self, at: int, error: str) -> Refused:
        """Its event `refused`, which ends the job unless the next command runs whatever happens."""
        ends = self.end_if != "never"
        return {
            "name": "refused",
            "command": self.number,
            "at": at,
            "error": error,
            "ends_job": ends,
        }

    def ended(self, at: int, *, ends: bool, log_error: str) -> Ended:
        """Its event `ended`; `ends`: the job ends with it."""
        event: Ended = {
            "name": "ended",
            "command": self.number,
            "at": at,
            "status": self.status,
            "killed": self.ended_after_kill or not self.has_ended,
            "ends_job": ends,
        }
        if error := self.report.get("error", log_error):
            event["error"] = error
        if self.report.get("oom_killed"):
            event["oom_killed"] = True
        if facts := self.report.get("facts"):
            event["facts"] = facts
        return event
