"""Making the working directory of a job, with the files that it has from the first.

Whoever comes first makes it: the supervisor with the first command, or a worker for an upload. With
files it appears as a whole, by a rename, so that they are written once: what was changed or removed
meanwhile doesn't come back.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from service.files.beneath import make_directories_beneath
from service.files.job import DIRECTORY_MODE, WORK_MODE, JobFiles
from service.files.removal import remove
from service.files.user import acting_as
from service.host.identity import Identity

_PASSING: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_THERE: Final = (errno.EEXIST, errno.ENOTEMPTY)


class Initial(NamedTuple):
    """A file that the directory has from the first; `path` is relative to it."""

    path: str
    data: bytes
    mode: int


@contextmanager
def acting_for(user: Identity | None) -> Iterator[None]:
    """As `acting_as`; None: as this process's own user."""
    if user is None:
        yield
        return
    with acting_as(*user):
        yield


def make_work(
    files: JobFiles,
    user: Identity | None,
    *,
    mode: int = WORK_MODE,
    initial: Sequence[Initial] = (),
) -> None:
    """Make the directory, owned by `user`, unless it is there. Raises: OSError."""
    with suppress(FileExistsError):
        os.mkdir(files.directory, DIRECTORY_MODE)
    if not initial:
        with suppress(FileExistsError):
            _make(files.work, user, mode)
        return
    if os.path.lexists(files.work):
        return
    # The job's directory is the service's own: nobody else puts anything there.
    name = f".work-{secrets.token_hex(8)}"
    new = f"{files.directory}/{name}"
    try:
        _make(new, user, mode)
        _fill(new, user, initial)
        os.rename(new, files.work)
    except BaseException as exc:
        _discard(files.directory, name)
        if not isinstance(exc, OSError) or exc.errno not in _THERE:
            raise  # else another process was faster


def _make(path: str, user: Identity | None, mode: int) -> None:
    os.mkdir(path, mode)
    if user is not None:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _fill(path: str, user: Identity | None, initial: Sequence[Initial]) -> None:
    top = os.open(path, _PASSING)
    try:
        with acting_for(user):
            for each in initial:
                above, _, name = each.path.rpartition("/")
                parent = make_directories_beneath(top, above or ".")
                try:
                    _write(parent, name, each)
                finally:
                    os.close(parent)
    finally:
        os.close(top)


def _write(parent: int, name: str, given: Initial) -> None:
    with open(os.open(name, _NEW, 0o600, dir_fd=parent), "wb") as file:
        file.write(given.data)
        os.fchmod(file.fileno(), given.mode)


def _discard(directory: str, name: str) -> None:
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):
            remove(parent, name, is_over=lambda: False)
    finally:
        os.close(parent)
