"""The signals that this process ignores, and would pass on to each command by that."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

# Source: nptl(7), signal numbers 32 and 33.
_RESERVED: Final = (32, 33)
# The number of rt_sigaction by machine. Source: syscalls(2), asm/unistd.h.
_RT_SIGACTION: Final = {"x86_64": 13, "aarch64": 134, "riscv64": 134}
# The kernel's struct of handler, flags, restorer and mask, eight bytes each: SIG_DFL is 0.
_DEFAULT_ACTION: Final = bytes(32)


def reset_dispositions() -> None:
    """Set every ignored signal back, once at the start: exec keeps what is ignored, so a service
    that was started by `sh … &` would pass an ignored SIGINT on to each job.
    """
    for number in signal.valid_signals():
        # Python's own two are set back in the child by Popen (restore_signals).
        if number in (signal.SIGPIPE, signal.SIGXFSZ):
            continue
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    _reset_reserved()


def _reset_reserved() -> None:
    """The same for the two that glibc reserves, and refuses to change: its posix_spawn passes them
    on ignored, so they are ignored in a service that a Python 3.13 program started.
    """
    call = _RT_SIGACTION.get(os.uname().machine)
    status = Path("/proc/self/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    for number in _RESERVED:
        if call is not None and ignored >> (number - 1) & 1:
            ctypes.CDLL(None).syscall(call, number, _DEFAULT_ACTION, None, 8)
