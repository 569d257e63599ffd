"""Sanic's process that keeps the states of workers ends some time after the main process, however
that dies. Light: that process imports this module and nothing else of ours.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.managers import SyncManager
from typing import Final

# Seconds for the workers to end, who ask for their states until then.
_WORKERS_END_S: Final = 15.0
# Threads that serve no worker: each of those has a connection, which has a thread, until it ends.
# The others are the main one, the one that accepts, and the one that waits here.
_OWN_THREADS: Final = 3
# Seconds between two looks at them, once the main process is gone: there is nothing to wait on.
_LOOK_S: Final = 0.2


def states_manager() -> SyncManager:
    """What `multiprocessing.Manager` gives, but for when its process ends."""
    manager = SyncManager(ctx=multiprocessing.get_context())
    manager.start(_end_after_parent)
    return manager


def _end_after_parent() -> None:
    """Run in the new process, before it serves."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    with suppress(ProcessLookupError):
        poller = select.poll()
        poller.register(os.pidfd_open(parent.pid), select.POLLIN)
        if os.getppid() == parent.pid:  # else it is gone, and somebody may have its number
            poller.poll()
    ends = time.monotonic() + _WORKERS_END_S
    while threading.active_count() > _OWN_THREADS and time.monotonic() < ends:
        threading.Event().wait(_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
