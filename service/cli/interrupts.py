"""Ctrl-C: it breaks into what waits, and never into what has begun to write."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was typed."""


class Interrupts:
    """Counts SIGINT while it is entered. What comes outside of `let_in` is kept for the next."""

    def __init__(self) -> None:
        self.count = 0
        self._seen = 0
        self._is_open = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def let_in(self) -> Iterator[None]:
        """Raises: Interrupted, once for all that came since the last one."""
        self._is_open = True
        try:
            if self.count > self._seen:
                self._raise()
            yield
        finally:
            self._is_open = False

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._is_open:
            self._raise()

    def _raise(self) -> None:
        self._is_open = False
        self._seen = self.count
        raise Interrupted
