"""Ctrl-C: it breaks into what waits, and never into what has begun to write."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self, TypeVar

T = TypeVar("T")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was typed."""


class Interrupts:
    """Counts SIGINT while it is entered. What comes outside of `let_in` is kept for the next.

    Where SIGINT is ignored it stays so: the shell of a script has set that for what runs in its
    background, and Ctrl-C is meant for another command. Source: POSIX, XCU 2.11.
    """

    def __init__(self) -> None:
        self.count = 0
        self._seen = 0
        self._is_open = False

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def until(self, wait: Callable[[], T], tell: Callable[[int], None]) -> T:
        """What `wait` returns; called anew after each Ctrl-C that broke into it and was told."""
        while True:
            try:
                with self.let_in():
                    return wait()
            except Interrupted:
                self.tell(tell)

    def tell(self, tell: Callable[[int], None]) -> None:
        """Also of those that come while it is told."""
        while True:
            with suppress(Interrupted):
                with self.let_in():
                    tell(self.count)
                return

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
