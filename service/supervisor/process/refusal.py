"""Why a command can't be started, as a sentence for a job's record."""

from __future__ import annotations

import errno
import os


class Refused(Exception):
    """The command couldn't be started; the message is a sentence for the job's record."""


def sentence(exc: Exception, program: str, directory: str | None) -> str:
    """Why `program` can't be started in `directory`, for a job's record."""
    if not isinstance(exc, OSError):
        return f"The command could not be started: {exc}."
    if directory is not None and exc.filename == directory:
        return about_directory(exc, directory)
    match exc.errno:
        case errno.ENOENT:
            return f"The program {program!r} was not found."
        case errno.E2BIG:
            return (
                "The command line and the environment are longer than the kernel takes"
                " (one argument or variable: 128 KiB; all together: a quarter of the stack limit)."
            )
        case errno.EMFILE | errno.ENFILE:
            return "The command could not be started: no file descriptor is free."
    reason = os.strerror(exc.errno) if exc.errno else str(exc)
    return f"The program {program!r} could not be started: {reason}."


def about_directory(error: OSError, directory: str) -> str:
    """Why a command can't begin in `directory`, for a job's record."""
    match error.errno:
        case errno.ELOOP if directory.startswith("/proc/"):
            return f"The working directory {directory!r} is what another process has open."
        case errno.EXDEV | errno.ELOOP:
            return f"The working directory {directory!r} leads out of the job's own by a link."
        case errno.ENOENT:
            return f"The working directory {directory!r} does not exist."
        case errno.ENOTDIR:
            return f"The working directory {directory!r} is not a directory."
        case errno.EACCES:
            return f"The working directory {directory!r} may not be entered."
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"The working directory {directory!r} can't be used: {reason}."
