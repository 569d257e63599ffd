"""Environment variables that mark a process as one of a job: which job, and which state directory.

The state directory is identified by device and inode: a copy of it has the same jobs, but is
another one.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from service.link.start import Start

JOB_VARIABLE: Final = "JOBRUNNER_JOB_ID"
STATE_VARIABLE: Final = "JOBRUNNER_STATE"
# Which command of the job; what a command starts may have lost it.
COMMAND_VARIABLE: Final = "JOBRUNNER_COMMAND"
MARKS: Final = (JOB_VARIABLE, STATE_VARIABLE)


def marked(request: Start, mark: str) -> Start:
    """The message `start`, with the mark in the environments of the programs that it names."""
    request = {**request, "env": {**request["env"], STATE_VARIABLE: mark}}
    if "hook_env" in request:
        request["hook_env"] = {**request["hook_env"], STATE_VARIABLE: mark}
    return request


def mark_of(directory: int | str | os.PathLike[str]) -> str:
    """Identifies this state directory on this host. Raises: OSError."""
    found = os.stat(directory)
    return hashlib.sha256(f"{found.st_dev}:{found.st_ino}".encode()).hexdigest()[:16]
