"""Heartbeats in memory that the main process and its workers share.

Each process stores the monotonic time of its event loop's latest turn, which wakes nobody; whoever
judges it reads that. The clock is the machine's, and stands still while the machine is suspended.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from typing import Any, Final

# Workers with a slot of their own; those with higher numbers aren't judged.
SLOTS: Final = 1024
_NUMBER: Final = re.compile(r"Server-(\d+)")
# Seconds without a turn of its event loop after which a process counts as silent. A worker may wait
# five seconds for another one's transaction.
SILENT_S: Final = 12.0


class Heartbeats:
    """Created by the main process; each worker gets its `memory` when it is spawned."""

    def __init__(self, memory: Any = None) -> None:
        """`memory`: that of the main process's `Heartbeats`; None creates it."""
        # Pairs of a pid and a time; the main process has the last slot.
        self.memory = memory or multiprocessing.get_context("spawn").RawArray("d", 2 * (SLOTS + 1))

    def beat_main(self) -> None:
        """Record a turn of the main process's loop."""
        self._write(SLOTS)

    def beat_worker(self) -> None:
        """Record a turn of this worker's loop."""
        slot = slot_of(multiprocessing.current_process().name)
        if slot is not None:
            self._write(slot)

    def main_silent_s(self) -> float:
        """Seconds since the main process's last heartbeat; 0 before its first."""
        return self._silent_s(SLOTS)

    def worker_silent_s(self, name: str, pid: int) -> float:
        """Seconds since this worker's last heartbeat; 0 before its first."""
        slot = slot_of(name)
        if slot is None or self.memory[2 * slot] != pid:
            return 0.0
        return self._silent_s(slot)

    def _write(self, slot: int) -> None:
        self.memory[2 * slot + 1] = time.monotonic()
        self.memory[2 * slot] = os.getpid()

    def _silent_s(self, slot: int) -> float:
        at: float = self.memory[2 * slot + 1]
        return time.monotonic() - at if at else 0.0


def slot_of(name: str) -> int | None:
    """The slot of the worker with this name; None: it has none."""
    found = _NUMBER.search(name)
    return int(found[1]) if found is not None and int(found[1]) < SLOTS else None
