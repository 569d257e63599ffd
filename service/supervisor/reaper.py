"""The one reaper: every child that dies, commands and adopted orphans alike.

A second reaper beside it would take exit codes away from it, so nothing else in this process waits
for a child.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


class Reaper:
    """Reaps on SIGCHLD. `on_death(pid, status)` is called for each child, with an exit code or
    minus a signal; `on_batch()` after all that were dead together.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_death: Callable[[int, int], None],
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
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                break
            if info is None:
                break
            any_died = True
            exited = info.si_code == os.CLD_EXITED
            self._on_death(info.si_pid, info.si_status if exited else -info.si_status)
        if any_died:
            self._on_batch()

    def close(self) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)
