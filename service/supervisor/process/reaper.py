"""The one reaper: every child that dies, commands and adopted orphans alike.

A second reaper beside it would take exit codes away from it, so nothing else in this process waits
for a child.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable


class Reaper:
    """Reaps on SIGCHLD. `on_death(pid, status, used)` is called for each child, with an exit code
    or minus a signal, and with what it and the children that it waited for have used; `on_batch()`
    after all that were dead together.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_death: Callable[[int, int, resource.struct_rusage], None],
        on_batch: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._on_death = on_death
        self._on_batch = on_batch
        loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def reap(self) -> None:
        """Reap whoever is dead. One SIGCHLD may stand for many deaths."""
        any_died = False
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            any_died = True
            self._on_death(pid, os.waitstatus_to_exitcode(status), used)
        if any_died:
            self._on_batch()

    def close(self) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)
