"""Whether a signal that is no kill can reach a job's processes now, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.link.from_supervisor import SignalRefusal
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import Phase

# Phases in which there is no process.
NO_PROCESS: Final[Mapping[Phase, SignalRefusal]] = {
    Phase.PENDING: "pending",
    Phase.CLOSING: "ended",
    Phase.FINISHED: "ended",
}


def why_not(machine: JobMachine, number: int) -> SignalRefusal | None:
    """None: it can. What an earlier command left gets it with the command that runs, or not."""
    is_up = machine.phase in (Phase.RUNNING, Phase.PROBING)
    if is_up and not machine.command.passes_on_signal(number):
        return "not_passed_on"
    return NO_PROCESS.get(machine.phase)
