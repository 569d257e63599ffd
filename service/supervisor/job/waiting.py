"""Whether a job waits for input: one of its processes is in a read of it, or its terminal doesn't
show what is typed, as programs have it that ask for a password.

It is looked at when somebody wants to know, in one callback of the loop: at so many processes only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final

from service.host.reads import can_tell, files_read_by
from service.supervisor.process.terminal import Terminal

# Some 20 µs each.
_MAX_PROCESSES: Final = 200
# The terminal of who opens it, by another name. Source: Documentation/admin-guide/devices.txt.
_DEV_TTY: Final = os.makedev(5, 0)


def waits_for_input(
    pids: Sequence[int], terminal: Terminal | None, pipe: tuple[int, int] | None
) -> bool | None:
    """Of the processes of a job with this terminal, or with a pipe for input, by its device and
    inode; None: nobody can tell.
    """
    if terminal is not None and not terminal.has_echo:
        return True
    devices = (terminal.device, _DEV_TTY) if terminal is not None else ()
    is_known = can_tell() and len(pids) <= _MAX_PROCESSES
    for pid in pids[:_MAX_PROCESSES]:
        try:
            for file in files_read_by(pid):
                if stat.S_ISCHR(file.st_mode) and file.st_rdev in devices:
                    return True
                if stat.S_ISFIFO(file.st_mode) and (file.st_dev, file.st_ino) == pipe:
                    return True
        except PermissionError:
            is_known = False
    return False if is_known else None
