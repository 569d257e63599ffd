"""The state directory: made when missing, checked, and held by one service at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from service.host.trusted_path import distrust
from service.paths import StateDir

# Others may pass through to a job's working directory, and may list nothing.
DIRECTORY_MODE: Final = 0o711
# Of what is missing above it, whatever the umask.
_PARENT_MODE: Final = 0o755


class StateDirError(Exception):
    """The directory can't be used; the message is a sentence for the operator."""


def prepare(path: Path) -> None:
    """Make the directory, or see that what is there can be used. Raises: StateDirError."""
    try:
        if (wrong := distrust(path)) is not None:  # before anything is made where others may write
            raise StateDirError(_untrusted(path, wrong))
        for parent in reversed(path.parents):
            parent.mkdir(mode=_PARENT_MODE, exist_ok=True)
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        if (wrong := fault(path)) is not None:
            raise StateDirError(wrong)
        StateDir(path).jobs.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    except OSError as exc:
        raise _unusable(path, exc) from exc


def fault(path: Path) -> str | None:
    """Why the directory, which exists, can't be used; None if it can. Raises: OSError."""
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        return f"The state directory {path} is not a directory."
    if found.st_uid != os.geteuid():
        return (
            f"The state directory {path} belongs to user {found.st_uid},"
            f" this runs as user {os.geteuid()}."
        )
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"The state directory {path} is on a file system that is mounted read-only."
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        return f"The state directory {path} can't be written to."
    if (wrong := distrust(path)) is not None:
        return _untrusted(path, wrong)
    return None


def hold(path: Path) -> int:
    """Lock the directory for this process's life; the descriptor must stay open.

    Raises: StateDirError, when another service has it.
    """
    try:
        descriptor = os.open(
            StateDir(path).service_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as exc:
        raise _unusable(path, exc) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as exc:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StateDirError(
            f"The state directory {path} is in use by another service (pid {holder})."
            " Give each service a JOBRUNNER_STATE_DIR of its own."
        ) from exc
    except OSError as exc:
        os.close(descriptor)
        raise _unusable(path, exc) from exc
    return descriptor


def holder(path: Path) -> int | None:
    """The pid of the service that holds the directory, 0 if it didn't say, None if there is none.

    Raises: OSError.
    """
    try:
        descriptor = os.open(StateDir(path).service_lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).strip()
        return int(pid) if pid.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _untrusted(path: Path, wrong: str) -> str:
    return f"The state directory {path} isn't safe from other users: {wrong}."


def _unusable(path: Path, error: OSError) -> StateDirError:
    reason = os.strerror(error.errno or 0)
    return StateDirError(f"The state directory {path} can't be used: {reason}.")
