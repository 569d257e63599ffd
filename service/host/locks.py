"""The locks of a state directory.

The supervisor locks `supervisor.lock` and the directory itself until it exits: a lock file can be
removed, and the next supervisor would lock a new one; the directory in use can't.
`supervisor.start.lock` is locked for a candidate from before it is spawned until it serves or
exits, so there is one candidate at a time. Each file contains the pid of the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.host.procfs import all_pids
from service.paths import SUPERVISOR_LOCK, StateDir

# Seconds between two attempts to lock: flock(2) has no timeout.
_LOOK_S: Final = 0.1


def try_lock(descriptor: int) -> bool:
    """Lock the file unless it is locked. Held while the descriptor, or a copy, is open."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(descriptor: int, seconds: float) -> bool:
    """Lock the file once it is free; False if it isn't within that time. Blocks."""
    ends = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() >= ends:
            return False
        select.select([], [], [], _LOOK_S)
    return True


def open_lock(path: Path) -> int:
    """Open the lock file, and create it if it is missing. Raises: OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def hold(state_dir: Path, directory: int) -> int | None:
    """Lock `supervisor.lock`, whose descriptor is returned, and the directory that `directory` is a
    descriptor of. None when another process has locked either.
    """
    descriptor = open_lock(StateDir(state_dir).supervisor_lock)
    if not try_lock(descriptor) or not _lock_directory(directory):
        os.close(descriptor)
        return None
    return descriptor


def _lock_directory(directory: int) -> bool:
    try:
        return try_lock(directory)
    except OSError:  # NFS can't lock a directory; the file's lock must do
        return True


def name_in(descriptor: int, text: str) -> None:
    """Write into the lock file who has locked it."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{text}\n".encode(), 0)


def is_in_place(path: Path, descriptor: int) -> bool:
    """Whether the path still refers to the file of that descriptor."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def named_in(path: Path) -> int | None:
    """The pid in the lock file, if that process is a supervisor or a candidate of the directory."""
    with suppress(OSError, ValueError, IndexError):
        pid = int(path.read_bytes().split()[-1])
        if pid in _of_directory(path.parent, [pid]):
            return pid
    return None


def holders(state_dir: Path) -> list[int]:
    """Pids of the supervisors that hold the directory: the one in the lock file, or else those with
    a removed lock file open, as far as /proc shows them.
    """
    named = named_in(StateDir(state_dir).supervisor_lock)
    if named is not None and named != os.getpid():
        return [named]
    others = [pid for pid in all_pids() if pid != os.getpid()]
    return [pid for pid in _of_directory(state_dir, others) if _has_lock(pid)]


def _has_lock(pid: int) -> bool:
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if f"/{SUPERVISOR_LOCK}" in os.readlink(entry.path):
                    return True
    return False


def _of_directory(state_dir: Path, pids: list[int]) -> Iterator[int]:
    """Those whose command line has `service.supervisor` and this directory, however spelled."""
    for pid in pids:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            cwd = f"/proc/{pid}/cwd".encode()
            if b"service.supervisor" in words and any(
                _is_same(os.path.join(cwd, word), state_dir) for word in words
            ):
                yield pid


def _is_same(word: bytes, directory: Path) -> bool:
    with suppress(OSError, ValueError):
        return os.path.samefile(word, directory)
    return False
