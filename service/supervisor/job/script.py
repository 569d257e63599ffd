"""A script that is too long for an argument, as a file that its shell reads.

Its user can read it, and a program can open it by name, in a sandbox too; it lies in a directory
that isn't the job's. It is removed when the command has ended; after a death of the supervisor it
goes with the job.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress

from service.host.identity import Identity


def write_script(text: str, path: str, user: Identity | None, stack: ExitStack) -> None:
    """Write it for this user alone. It is removed again if `stack` ends with an exception. Raises:
    OSError.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)  # of an attempt before
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(path, flags, 0o400), "wb") as file:
        stack.push(lambda kind, _error, _trace: remove_script(path) if kind else None)
        if user is not None:
            os.fchown(file.fileno(), user.uid, user.gid)
        file.write(text.encode(errors="surrogateescape"))


def remove_script(path: str) -> None:
    """Remove it; what can't be removed goes with the job."""
    with suppress(OSError):
        os.unlink(path)
