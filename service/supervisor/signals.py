"""Signals to the supervisor: TERM ends it in order, HUP has it look after its files, and no other
ends it, whoever sends it.

Handled, not ignored: exec keeps what is ignored, and sets what is handled back to its default, so a
command begins with default dispositions. What a fault of the program itself raises keeps its
default action, since a handler would return into the fault.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from service.host.event_log import log_event

if TYPE_CHECKING:
    import asyncio

_UNCATCHABLE: Final = {signal.SIGKILL, signal.SIGSTOP}
_FAULTS: Final = {
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}
# Python ignores the first two, and Popen sets them back in the child; CHLD is the reaper's.
_OTHERS: Final = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD}
# These change nothing by default.
_HARMLESS: Final = {signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
_HANDLED: Final = signal.valid_signals() - _UNCATCHABLE - _FAULTS - _OTHERS - _HARMLESS


def survive() -> None:
    """No signal that can be handled stops or ends this process from now on, but TERM and INT."""
    for number in _HANDLED - {signal.SIGTERM, signal.SIGINT}:
        signal.signal(number, _pass_over)


def let_come() -> None:
    """Nothing is blocked, for this process and its commands."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _pass_over(_number: int, _frame: object) -> None:
    """It interrupts whatever is under way, so it must not even write a line."""


class Signals:
    """What the event loop is told of signals: `is_told_to_end` from the moment of a TERM on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_term: Callable[[], None],
        on_hangup: Callable[[], None],
    ) -> None:
        self.is_told_to_end = False
        self._passed_over: set[int] = set()

        # The loop's own handlers would leave a signal in a pipe of the loop, and lose it in an
        # exec: what these note is known as soon as `hold_back` returns.
        def end(_number: int, _frame: object) -> None:
            self.is_told_to_end = True
            loop.call_soon_threadsafe(on_term)

        def pass_over(number: int, _frame: object) -> None:
            if number not in self._passed_over:  # one line for each, however often it is sent
                self._passed_over.add(number)
                loop.call_soon_threadsafe(lambda: log_event("signal_passed_over", signal=number))

        def look(number: int, frame: object) -> None:
            pass_over(number, frame)
            loop.call_soon_threadsafe(on_hangup)

        for number in _HANDLED:
            signal.signal(number, pass_over)
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGHUP, look)

    def hold_back(self) -> None:
        """Signals wait until `let_come`, over an exec too. All that came before have been handled.

        Raises: InterruptedError, when a TERM was among them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        if self.is_told_to_end:
            raise InterruptedError("it was told to end meanwhile")

    def close(self) -> None:
        """The loop is about to end."""
        for number in _HANDLED:
            signal.signal(number, _pass_over)
