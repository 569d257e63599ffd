"""What the threads of a process are reading from, while they wait in the kernel for that.

Source: proc(5), /proc/pid/task/tid/syscall, which only who may trace the process can read; the
numbers of read(2) and readv(2) by machine, asm/unistd.h.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

_READS: Final = {
    "x86_64": (b"0", b"19"),
    "aarch64": (b"63", b"65"),
    "riscv64": (b"63", b"65"),
}


def can_tell() -> bool:
    """Whether the numbers are known here."""
    return os.uname().machine in _READS


def files_read_by(pid: int) -> Iterator[os.stat_result]:
    """What the file is, of each thread that waits in a read. Raises: PermissionError; nothing comes
    of a process that is gone.
    """
    numbers = _READS.get(os.uname().machine, ())
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/syscall", "rb", buffering=0) as file:
                call = file.readall().split()
            if call[0] in numbers:
                yield os.stat(f"/proc/{pid}/fd/{int(call[1], 16)}")
    except PermissionError:
        raise
    except OSError:
        return
