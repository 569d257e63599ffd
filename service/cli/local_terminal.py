"""The terminal of this command: raw while a job's is shown in it, and as it was before afterwards.

It is restored at every end that a process sees: the signals that would end it raise meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from types import FrameType
from typing import Any, Final, Self

STDIN: Final = 0
STDOUT: Final = 1
# Those that end a process which doesn't handle them, and may be sent to one that is attached.
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def is_interactive() -> bool:
    """Whether a person types here, and sees what comes."""
    return os.isatty(STDIN) and os.isatty(STDOUT)


def size() -> tuple[int, int] | None:
    """Rows and columns; None where that isn't known."""
    for descriptor in (STDOUT, STDIN):
        try:
            found = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if found.lines and found.columns:
            return found.lines, found.columns
    return None


class RawTerminal:
    """Entered, each key is passed on as it is typed, Ctrl-C too, and output shown as it comes."""

    def __init__(self) -> None:
        self._before: list[Any] = []
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(STDIN)
        self._handlers = {number: signal.signal(number, _ended) for number in _ENDING}
        tty.setraw(STDIN)
        return self

    def __exit__(self, *_: object) -> None:
        # Not before all was shown: what is still to come means something to a raw one only.
        sys.stdout.flush()
        termios.tcsetattr(STDIN, termios.TCSADRAIN, self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _ended(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
