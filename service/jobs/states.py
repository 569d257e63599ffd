"""The states of a job, and why one was ended: names, which every reader of a view needs.

What leads from one to another stands in `service.jobs.lifecycle`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a job stands; also the state of one command, which alone can be `skipped`."""

    PENDING = "pending"
    RUNNING = "running"
    EXITED = "exited"
    KILLED = "killed"
    SKIPPED = "skipped"

    @property
    def is_live(self) -> bool:
        return self in LIVE


class Reason(StrEnum):
    """Why this service ended a job."""

    REQUESTED = "requested"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle-timeout"
    QUEUE_TIMEOUT = "queue-timeout"
    SHUTDOWN = "shutdown"
    LOST = "lost"
    OUTPUT = "output"  # its output couldn't be written any more


JOB_STATES: Final = (State.PENDING, State.RUNNING, State.EXITED, State.KILLED)
LIVE: Final = frozenset({State.PENDING, State.RUNNING})
FINISHED: Final = frozenset({State.EXITED, State.KILLED})
