"""Death before a chosen system call of the writer of an output log, for the programs that try each of them."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

CALLS = {os.open, os.splice, os.pwrite, os.pread, os.fstat, os.ftruncate, os.close, fcntl.ioctl}
"""The functions by which a log is written."""


def die_before(number: int, also: Callable[..., Any] | None = None) -> None:
    """Has this process killed before its `number`-th call of one of `CALLS` from now on.

    Calls of `also`, a Python function that calls into the kernel by other ways, count too.
    """
    left = number

    def on_call(frame: Any, event: str, function: Any) -> None:
        nonlocal left
        is_also = also is not None and event == "call" and frame.f_code is also.__code__
        if is_also or (event == "c_call" and function in CALLS):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(on_call)
