"""Who opens the files of a directory: told by the kernel before each open, while the opener waits.

Source: fanotify(7); permission events keep the process from going on until it is answered, so what
/proc tells of it is true.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Source: linux/fanotify.h.
_CLOEXEC, _CLASS_CONTENT = 0x1, 0x4
_MARK_ADD = 0x1
_OPEN_PERM, _OPEN_EXEC_PERM, _ON_CHILD = 0x10000, 0x40000, 0x08000000
_ALLOW: Final = 1
_EVENT: Final = struct.Struct("=IBBHQii")
_AT_FDCWD: Final = -100


@dataclass(frozen=True, slots=True)
class Opened:
    uid: int
    program: str
    path: str


class CannotWatch(Exception):
    """This kernel, or this user, can't."""


@contextmanager
def watched(*directories: Path) -> Iterator[list[Opened]]:
    """Every open of a file in one of these while the context lasts, this process's own left out.

    Raises: CannotWatch.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    group = libc.fanotify_init(_CLOEXEC | _CLASS_CONTENT, os.O_RDONLY | os.O_CLOEXEC)
    if group < 0:
        raise CannotWatch(os.strerror(ctypes.get_errno()))
    mask = ctypes.c_uint64(_OPEN_PERM | _OPEN_EXEC_PERM | _ON_CHILD)
    for directory in directories:
        if libc.fanotify_mark(group, _MARK_ADD, mask, _AT_FDCWD, os.fsencode(directory)) < 0:
            os.close(group)
            raise CannotWatch(os.strerror(ctypes.get_errno()))
    seen: list[Opened] = []
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    thread = threading.Thread(target=_answer, args=(group, ours, seen), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        os.close(theirs)
        thread.join()
        os.close(group)  # whoever waits goes on
        os.close(ours)


def _answer(group: int, end: int, seen: list[Opened]) -> None:
    poller = select.poll()
    poller.register(group, select.POLLIN)
    poller.register(end, select.POLLHUP)
    while True:
        ready = [descriptor for descriptor, _ in poller.poll()]
        if end in ready:
            return
        data = os.read(group, 1 << 16)
        while data:
            length, _, _, _, _, descriptor, pid = _EVENT.unpack_from(data)
            data = data[length:]
            if pid != os.getpid():
                _note(pid, descriptor, seen)
            os.write(group, struct.pack("=iI", descriptor, _ALLOW))
            os.close(descriptor)


def _note(pid: int, descriptor: int, seen: list[Opened]) -> None:
    with suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        uid = int(status.partition("\nUid:")[2].split()[1])  # the effective one
        program = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        seen.append(Opened(uid, program, os.readlink(f"/proc/self/fd/{descriptor}")))
