"""The one reaper: every child that dies, commands and adopted orphans alike.

A second reaper would take wait statuses away from it, so nothing else in this process waits for a
child.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

_Dead: TypeAlias = tuple[int, int, resource.struct_rusage]


class Reaper:
    """Reaps on SIGCHLD. `on_death(pid, status, used)` is called for each child, with an exit code
    or minus a signal, and the resources that it and its own reaped children have used; `before()`
    and `on_batch()` before and after all that were dead together. All of these are reaped before
    the first is told of, and `together` is entered meanwhile: what is found out in it once is newer
    than all their deaths. An exception leaves no child unreaped, and no other one untold.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_death: Callable[[int, int, resource.struct_rusage], None],
        on_batch: Callable[[], None],
        *,
        before: Callable[[], None],
        together: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._loop = loop
        self._on_death = on_death
        self._on_batch = on_batch
        self._before = before
        self._together = together
        loop.add_signal_handler(signal.SIGCHLD, self.reap)
        # Hundreds that die together fill the loop's pipe; what is in it says enough.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)

    def reap(self) -> None:
        """Reap all that are dead. One SIGCHLD may stand for many deaths."""
        self._before()
        dead = list(iter(_next_dead, None))
        if not dead:
            return
        with self._together():
            for each in dead:
                self._tell(each)
        self._on_batch()

    def _tell(self, dead: _Dead) -> None:
        try:
            self._on_death(*dead)
        except Exception as exc:  # noqa: BLE001 - of the others nobody would hear again
            message = f"The death of process {dead[0]} was not dealt with."
            self._loop.call_exception_handler({"message": message, "exception": exc})

    def close(self) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)


def _next_dead() -> _Dead | None:
    try:
        pid, status, used = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status), used) if pid else None
