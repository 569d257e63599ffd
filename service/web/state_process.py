"""Sanic's state process, which exits soon after the main process does, however that dies.

Sanic starts it as a `multiprocessing.Manager`: it holds the dictionary in which workers publish
their states. Sanic's own would outlive a main process that was killed. The process imports this
module and nothing else of the service, so it stays small.
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

# Seconds for the workers to exit once the main process is gone; they read their states until then.
_WORKERS_EXIT_S: Final = 15.0
# Threads of this process that serve no worker: the main thread, the one that accepts connections,
# and the one that runs `_exit_after_parent`. Each connection has one more, until it is closed.
_OWN_THREADS: Final = 3
# Seconds between two counts of the threads, which nothing announces.
_CHECK_S: Final = 0.2


def start_state_process() -> SyncManager:
    """Start it. Stands in for `multiprocessing.Manager`."""
    manager = SyncManager(ctx=multiprocessing.get_context())
    manager.start(_watch_parent)
    return manager


def _watch_parent() -> None:
    """Runs in the new process before it serves."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    with suppress(ProcessLookupError):
        poller = select.poll()
        poller.register(os.pidfd_open(parent.pid), select.POLLIN)
        if os.getppid() == parent.pid:  # else it is gone, and its pid may have been reused
            poller.poll()
    deadline = time.monotonic() + _WORKERS_EXIT_S
    while threading.active_count() > _OWN_THREADS and time.monotonic() < deadline:
        threading.Event().wait(_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)
