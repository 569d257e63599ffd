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


class Reaper:
    """Reaps on SIGCHLD. `on_death(pid, status, used)` is called for each child, with an exit code
    or minus a signal, and the resources that it and its own reaped children have used; `before()`
    and `on_batch()` before and after all that were dead together. An exception leaves no child
    unreaped.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_death: Callable[[int, int, resource.struct_rusage], None],
        on_batch: Callable[[], None],
        before: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._on_death = on_death
        self._on_batch = on_batch
        self._before = before
        loop.add_signal_handler(signal.SIGCHLD, self.reap)
        # Hundreds that die together fill the loop's pipe; what is in it says enough.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)

    def reap(self) -> None:
        """Reap all that are dead. One SIGCHLD may stand for many deaths."""
        any_died = False
        self._before()
        try:
            while (dead := _next_dead()) is not None:
                any_died = True
                self._on_death(*dead)
        except BaseException:
            self._loop.call_soon(self.reap)  # others may be dead, and no signal comes for them
            raise
        finally:
            if any_died:
                self._on_batch()

    def close(self) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)


def _next_dead() -> tuple[int, int, resource.struct_rusage] | None:
    try:
        pid, status, used = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status), used) if pid else None
