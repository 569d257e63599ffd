"""Signals to the supervisor: TERM shuts it down, if no job sent it (`termination.py`), HUP has it
check its socket and its lock file, and no other signal that can be caught ends it.

Signals are ignored by a handler, not by SIG_IGN: exec keeps SIG_IGN, and resets a handler to the
default, so a command begins with default dispositions. Signals that a fault of the program raises
keep their default action, since a handler would return into the fault.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from service.host.event_log import log_event
from service.supervisor.termination import Termination

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


def ignore_signals() -> None:
    """No signal that can be caught stops or ends this process from now on, but TERM and INT."""
    for number in _HANDLED - {signal.SIGTERM, signal.SIGINT}:
        signal.signal(number, _ignore)


def _ignore(_number: int, _frame: object) -> None:
    """It interrupts whatever is under way, so it must not even write a line."""


class Signals:
    """Passes signals on to the event loop. `is_told_to_end` from the moment of a TERM on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_term: Callable[[], None],
        on_hangup: Callable[[], None],
        has_jobs: Callable[[], bool],
    ) -> None:
        """`has_jobs`: whether a job may have a process."""
        self.is_told_to_end = False
        self._ignored: set[int] = set()
        self._loop, self._on_term = loop, on_term
        self._termination = Termination(has_jobs)
        if not self._termination.is_closed:
            loop.add_reader(self._termination.descriptor, self.read)

        # The loop's own handlers would leave a signal in a pipe of the loop, and lose it in an
        # exec: what these set is known as soon as `block` returns.
        def end(_number: int, _frame: object) -> None:
            self.is_told_to_end = True
            loop.call_soon_threadsafe(on_term)

        def ignore(number: int, _frame: object) -> None:
            if number not in self._ignored:  # one line for each, however often it is sent
                self._ignored.add(number)
                loop.call_soon_threadsafe(lambda: log_event("signal_received", signal=number))

        def look(number: int, frame: object) -> None:
            ignore(number, frame)
            loop.call_soon_threadsafe(on_hangup)

        for number in _HANDLED:
            signal.signal(number, ignore)
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGHUP, look)

    def read(self) -> None:
        """Act on a TERM that was sent, while its sender can be looked at: before it is reaped."""
        if self._termination.is_told_to_end():
            self.is_told_to_end = True
            self._loop.call_soon(self._on_term)

    def unblock(self) -> None:
        """No signal is blocked any more, but for TERM where that is read."""
        blocked = () if self._termination.is_closed else (signal.SIGTERM,)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def block(self) -> None:
        """Signals wait until `unblock`, over an exec too. All earlier ones are handled.

        Raises: InterruptedError, when a TERM was among them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        self.read()
        if self.is_told_to_end:
            raise InterruptedError("it was told to end meanwhile")

    def close(self) -> None:
        """The loop is about to end."""
        for number in _HANDLED:
            signal.signal(number, _ignore)
        if not self._termination.is_closed:
            self._loop.remove_reader(self._termination.descriptor)
        self._termination.close()
