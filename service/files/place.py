"""The working directory of a job, as its files are reached: beneath it, as the job's user.

Rules
1. A path is resolved beneath the directory, by the kernel in one step (`service.files.beneath`),
   and crosses no mount. What a job does to the directory meanwhile leads nowhere else.
2. What is opened is looked at before it is opened for reading: only regular files and directories
   are. Neither a FIFO nor a device is ever opened.
3. Every call stands in `acting`: with the rights of the job's user alone. It may block on a disk,
   so it is made in a thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from service.files.beneath import make_directories_beneath, open_beneath
from service.files.work import acting_for
from service.host.identity import Identity

_TOP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READING: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PASSING: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Found(NamedTuple):
    """A file that was looked at."""

    descriptor: int  # for reading
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


@dataclass(frozen=True, slots=True)
class Place:
    """The directory at `path`, whose files belong to `user`; None: to this process's own user."""

    path: str
    user: Identity | None

    @contextmanager
    def acting(self) -> Iterator[int]:
        """Within the block this thread has the rights of the job's user; the open directory.

        Raises: FileNotFoundError, when there is none.
        """
        # The directories above are the service's own, and the job's user may search them.
        top = os.open(self.path, _TOP)
        try:
            with acting_for(self.user):
                yield top
        finally:
            os.close(top)


def open_found(top: int, path: bytes, *, follow: bool = True) -> Found:
    """The regular file or directory at `path`, open for reading.

    Raises: OSError: EXDEV, when it leads out; EINVAL, when it is of another type.
    """
    flags = os.O_PATH if follow else os.O_PATH | os.O_NOFOLLOW
    closed = open_beneath(top, path or b".", flags, one_mount=True)
    try:
        mode = os.fstat(closed).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EINVAL, "neither a regular file nor a directory")
        # By this path the same file is opened, whatever stands at its name now.
        descriptor = os.open(f"/proc/self/fd/{closed}", _READING)
    finally:
        os.close(closed)
    return Found(descriptor, os.fstat(descriptor))


def open_parent(top: int, path: bytes, *, make: bool = False) -> tuple[int, bytes]:
    """The directory (O_PATH) that `path` is in, and its name there; `make`: made when missing."""
    above, _, name = path.rpartition(b"/")
    if not above:
        return os.open(".", _PASSING, dir_fd=top), name
    if make:
        parent = make_directories_beneath(top, above, one_mount=True)
    else:
        parent = open_beneath(top, above, _PASSING, one_mount=True)
    return parent, name


def status_of(top: int, path: bytes) -> os.stat_result:
    """Of what is at `path`; of a link, not of what it leads to. Raises: OSError."""
    parent, name = open_parent(top, path)
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)
