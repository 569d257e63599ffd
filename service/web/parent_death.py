"""A worker exits when the main process dies, however that dies.

An orphaned worker would keep the port, and nothing would replace it when it crashed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # Source: prctl(2)


def exit_with_main_process() -> None:
    """Have the kernel send this worker SIGTERM when the main process dies."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent.pid:
        os.kill(os.getpid(), signal.SIGTERM)  # it died before the line above
