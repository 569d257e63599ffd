"""How a job ends: the kill that was requested, and what is known of the end."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from service.link.job_events import KillReceipt, KillRequested


@dataclass(slots=True)
class KillRequest:
    """A kill as it was requested. `grace_s` of the first request is shortened by later ones."""

    signal: int
    grace_s: float
    reason: str
    requested_at: int
    escalated: bool = False

    @property
    def is_hard(self) -> bool:
        """Whether KILL is sent at once."""
        return self.signal == signal.SIGKILL or not self.grace_s

    def event(self) -> KillRequested:
        """The kill as it was requested."""
        return {
            "name": "kill_requested",
            "reason": self.reason,
            "requested_at": self.requested_at,
            "signal": self.signal,
            "grace_s": self.grace_s,
        }

    def receipt(
        self, later: Sequence[KillRequest], *, found: int, verified_gone: bool
    ) -> KillReceipt:
        """The kill as it went, for the record; `later`: requests after this one."""
        return {
            "reason": self.reason,
            "requested_at": self.requested_at,
            "signal": self.signal,
            "grace_s": self.grace_s,
            "later": [
                {"requested_at": r.requested_at, "signal": r.signal, "grace_s": r.grace_s}
                for r in later
            ],
            "found": found,
            "escalated": self.escalated,
            "verified_gone": verified_gone,
        }


@dataclass(slots=True)
class Ending:
    """What is known of the end of a job.

    `killed`: the outcome, set when the phase becomes ENDING. `is_gone`: False when a process is
    stuck in the kernel. `is_urgent`: a kill came when only bytes in the pipes were left.
    `log_error`: why output can't be written.
    """

    killed: bool = False
    is_gone: bool = True
    is_urgent: bool = False
    log_error: str = ""
