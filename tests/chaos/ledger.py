"""What was asked of the service, what it answered, and what was done to it: the oracle's evidence."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from work import Work


@dataclass(slots=True)
class Entry:
    """One submission, with everything that was asked about its job. Times are of the wall clock."""

    work: Work
    key: str
    is_tried_once: bool  # a refusal is taken for an answer: then it must never run
    answers: list[int] = field(default_factory=list)  # statuses of the POSTs; 0: cut off
    id: str = ""
    acknowledged_at: float = 0.0
    kill_sent: bool = False
    kill_acknowledged_at: float = 0.0
    clean_sent: bool = False
    is_cleaned: bool = False
    log_removed: bool = False
    final: dict[str, Any] | None = None  # the first view that showed it finished

    @property
    def was_refused(self) -> bool:
        """Every try was answered, and with a refusal."""
        return not self.id and bool(self.answers) and 0 not in self.answers


@dataclass(slots=True)
class Fault:
    name: str
    begun_at: float
    ended_at: float = float("inf")


class Ledger:
    """Written by every thread; a list grows by one call, so nothing is lost."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.faults: list[Fault] = []
        self._wrong: dict[str, None] = {}
        self._lock = threading.Lock()

    def accuse(self, what: str) -> None:
        """Something that must not be; each sentence counts once."""
        with self._lock:
            self._wrong.setdefault(what)

    @property
    def wrong(self) -> list[str]:
        with self._lock:
            return list(self._wrong)

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        fault = Fault(name, time.time())
        self.faults.append(fault)
        try:
            yield
        finally:
            fault.ended_at = time.time()

    def happened(self, names: frozenset[str], begin: float, end: float) -> bool:
        """Whether one of these was going on at any time between."""
        return any(
            f.name in names and f.begun_at <= end and begin <= f.ended_at for f in self.faults
        )

    def known(self) -> list[Entry]:
        """Those whose ID is known, and that nobody has cleaned."""
        return [entry for entry in self.entries if entry.id and not entry.clean_sent]
