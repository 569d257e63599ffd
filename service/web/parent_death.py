"""A worker exits when the main process dies, however that dies.

An orphaned worker would keep the port, and nothing would replace it when it crashed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing import util
from multiprocessing.connection import Client
from multiprocessing.managers import dispatch  # type: ignore[attr-defined]  # as its own proxies do
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1  # Source: prctl(2)


def exit_with_main_process(multiplexer: Any) -> None:
    """Have the kernel send this worker SIGTERM when the main process dies. The last worker to exit
    then ends Sanic's state process too, which `multiplexer` is connected to.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    address = multiplexer._state._state._token.address  # noqa: SLF001 - Sanic has no public name for it
    # Runs at the very end of this process, when nothing reads the states any more.
    util.Finalize(None, _end_state_process, (parent.pid, address), exitpriority=0)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent.pid:
        os.kill(os.getpid(), signal.SIGTERM)  # it died before the line above


def _end_state_process(main_pid: int | None, address: str) -> None:
    """End it unless the main process lives, which does it itself."""
    if os.getppid() == main_pid:
        return
    key = multiprocessing.current_process().authkey
    with suppress(OSError, EOFError), Client(address, authkey=key) as connection:
        dispatch(connection, None, "shutdown")  # an error: another worker was faster
