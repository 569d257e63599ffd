"""Writing a file of a job: under no name, or a temporary one, until all of it is there.

Rules
1. An upload is seen by the job as a whole or not at all: what ends before it leaves nothing.
   Where the file system has files without a name (O_TMPFILE), that holds for a kill -9 as well.
2. It replaces what was at the path, a link too; not a directory.
3. Conditions are judged, and the name is given, under a lock for each job, so that of two uploads
   with the same `If-Match` one fails. `only_new` is judged by the kernel: the job itself can't
   come between.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final

from service.files.place import Place, open_parent, status_of

DEFAULT_MODE: Final = 0o644
# Only these bits of a mode are set: no program of another user begins by an upload.
MODE_BITS: Final = 0o777
_RENAME_NOREPLACE: Final = 1
_UNNAMED: Final = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_UNNAMED: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
# Seconds that a name waits for another upload of the same job to get its own: longer than a rename
# takes. A job that runs as the service's own user could hold the lock for ever.
_LOCK_S: Final = 5.0
_LOCK_STEP_S: Final = 0.005

# Judges the file that is there (None: nothing is); raises where the upload isn't to replace it.
Check = Callable[[os.stat_result | None], None]

_libc = ctypes.CDLL(None, use_errno=True)


class Upload:
    """A file that is being written. Every method is called in a thread; `close` at the end,
    whatever has come before, also while another call is under way.
    """

    def __init__(self, place: Place, path: bytes, check: Check, *, mode: int | None = None) -> None:
        """Raises: OSError, when there can't be a file at the path; what `check` raises, and then
        nothing has changed.
        """
        self._place = place
        self._mode = mode
        self._calls = Lock()
        self._temporary: bytes | None = None
        with place.acting() as top:
            check(_status_of(top, path))
            self._parent, self._name = open_parent(top, path, make=True)
            try:
                if (present := self._present()) is not None and stat.S_ISDIR(present.st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                self._descriptor = self._open()
            except BaseException:
                os.close(self._parent)
                raise

    def write(self, data: bytes) -> None:
        """Raises: OSError."""
        view = memoryview(data)
        with (
            self._calls,
            self._place.acting(),
        ):  # quotas are the user's, and so is the room that root keeps
            while view:
                view = view[os.write(self._descriptor, view) :]

    def commit(self, check: Check, *, only_new: bool, modified_ns: int | None = None) -> Done:
        """Give it its name; how it stands then.

        Raises: OSError: EEXIST, with `only_new` when there is something; what `check` raises.
        """
        directory = os.path.dirname(self._place.path)
        with self._calls, _locked(directory), self._place.acting():
            present = self._present()
            check(present)
            self._prepare(present, modified_ns)
            self._rename(only_new=only_new)
            return Done(os.fstat(self._descriptor), present is None)

    def close(self) -> None:
        """What wasn't committed is gone."""
        with self._calls:
            os.close(self._descriptor)
            self._descriptor = -1  # a call that comes too late writes to no other file
            try:
                if self._temporary is not None:
                    with self._place.acting(), suppress(OSError):
                        os.unlink(self._temporary, dir_fd=self._parent)
            finally:
                os.close(self._parent)
                self._parent = -1

    def _open(self) -> int:
        try:
            return os.open(".", _UNNAMED, 0o600, dir_fd=self._parent)
        except OSError as exc:
            if exc.errno not in _NO_UNNAMED:
                raise
        self._temporary = _temporary_name()
        return os.open(self._temporary, _NEW, 0o600, dir_fd=self._parent)

    def _present(self) -> os.stat_result | None:
        try:
            return os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _prepare(self, present: os.stat_result | None, modified_ns: int | None) -> None:
        mode = self._mode
        if mode is None:
            is_file = present is not None and stat.S_ISREG(present.st_mode)
            mode = present.st_mode if present is not None and is_file else DEFAULT_MODE
        os.fchmod(self._descriptor, mode & MODE_BITS)
        if modified_ns is not None:
            os.utime(self._descriptor, ns=(modified_ns, modified_ns))
        if self._temporary is None:
            name = _temporary_name()
            os.link(
                f"/proc/self/fd/{self._descriptor}",
                name,
                dst_dir_fd=self._parent,
                follow_symlinks=True,
            )
            self._temporary = name

    def _rename(self, *, only_new: bool) -> None:
        assert self._temporary is not None  # noqa: S101 - `_prepare` has seen to it
        if only_new:
            rename_new(self._parent, self._temporary, self._name)
        else:
            os.replace(
                self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent
            )
        self._temporary = None


def _status_of(top: int, path: bytes) -> os.stat_result | None:
    try:
        return status_of(top, path)
    except FileNotFoundError:
        return None


class Done:
    """A file that has its name; `is_new`: there was nothing."""

    __slots__ = ("is_new", "status")

    def __init__(self, status: os.stat_result, is_new: bool) -> None:  # noqa: FBT001 - made above
        self.status = status
        self.is_new = is_new


def rename_new(parent: int, old: bytes, new: bytes) -> None:
    """Raises: FileExistsError; OSError."""
    if not _libc.renameat2(
        ctypes.c_int(parent),
        ctypes.c_char_p(old),
        ctypes.c_int(parent),
        ctypes.c_char_p(new),
        ctypes.c_uint(_RENAME_NOREPLACE),
    ):
        return
    error = ctypes.get_errno()
    if error not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(error, os.strerror(error))
    # A file system without that: a link doesn't replace anything either.
    os.link(old, new, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
    os.unlink(old, dir_fd=parent)


def _temporary_name() -> bytes:
    return f".jobrunner-{secrets.token_hex(8)}".encode()


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Among the workers, for the names of one job's files. Raises: TimeoutError."""
    # The service's own directory: another user can't open it for reading, and so not lock it.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        ends_at = time.monotonic() + _LOCK_S
        while not _is_locked(descriptor):
            if time.monotonic() > ends_at:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            time.sleep(_LOCK_STEP_S)  # noqa: TID251 - flock has no time limit
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
