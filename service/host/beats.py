"""Memory that the main process and its workers share: when each of them was last seen to live.

Each writes the monotonic time of its own loop's turns, which costs nobody a wake-up; whoever wants
to know reads it. The clock is the machine's, and stands still while the machine is suspended.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from typing import Any, Final

# Workers with a number of their own; more would share places, and aren't judged.
_PLACES: Final = 1024
_NUMBER: Final = re.compile(r"Server-(\d+)")
# Seconds without a turn of its loop after which a process counts as silent. A worker may wait five
# seconds for another one's transaction.
SILENT_S: Final = 12.0


class Beats:
    """Made by the main process, and handed to each worker as it starts."""

    def __init__(self, memory: Any = None) -> None:
        """`memory`: what another one's `memory` is."""
        # Pairs of a pid and a time; the main process is the last one.
        self.memory = memory or multiprocessing.get_context("spawn").RawArray(
            "d", 2 * (_PLACES + 1)
        )

    def main(self) -> None:
        """The main process's loop turns."""
        self._write(_PLACES)

    def worker(self) -> None:
        """This worker's loop turns."""
        place = _place(multiprocessing.current_process().name)
        if place is not None:
            self._write(place)

    def main_silent_s(self) -> float:
        """Seconds since the main process's loop has turned; 0 when it never has."""
        return self._silent_s(_PLACES)

    def worker_silent_s(self, name: str, pid: int) -> float:
        """Seconds since this worker's loop has turned; 0 when it never has."""
        place = _place(name)
        if place is None or self.memory[2 * place] != pid:
            return 0.0
        return self._silent_s(place)

    def _write(self, place: int) -> None:
        self.memory[2 * place + 1] = time.monotonic()
        self.memory[2 * place] = os.getpid()

    def _silent_s(self, place: int) -> float:
        at: float = self.memory[2 * place + 1]
        return time.monotonic() - at if at else 0.0


def _place(name: str) -> int | None:
    found = _NUMBER.search(name)
    return int(found[1]) if found is not None and int(found[1]) < _PLACES else None
