"""The logs of jobs lie in a directory of their own. Those of a release that kept them beside the
jobs' working directories are moved there, once, before a supervisor serves.

Everything is moved into a directory of another name, which gets its own in one step at the end: a
move that was interrupted is gone on with, and a directory of that name means that all is there. A
log that a predecessor in this process has open goes on in its new place.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from service.files.job import DIRECTORY_MODE, LOG_MODE
from service.host.event_log import log_event
from service.output.files import INDEX_NAME, OUTPUT_NAME
from service.paths import StateDir

if TYPE_CHECKING:
    from pathlib import Path


def lay_out(state_dir: Path) -> None:
    """Have the directories of jobs and of logs there. Raises: OSError."""
    paths = StateDir(state_dir)
    jobs, logs, under_way = paths.jobs, paths.logs, paths.unfinished_logs
    jobs.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    if logs.is_dir():
        return
    under_way.mkdir(mode=LOG_MODE, exist_ok=True)
    names = [name for name in os.listdir(jobs) if _has_log(f"{jobs}/{name}")]
    # All that takes room, first: on a full disk nothing is moved, and all goes on as it was.
    for name in names:
        with suppress(FileExistsError):
            os.mkdir(under_way / name, LOG_MODE)
    for name in names:
        _move(f"{jobs}/{name}", f"{under_way}/{name}")
    under_way.rename(logs)
    if names:
        log_event("logs_moved", jobs=len(names))


def _has_log(job: str) -> bool:
    return any(os.path.lexists(f"{job}/{name}") for name in (OUTPUT_NAME, INDEX_NAME))


def _move(job: str, log: str) -> None:
    """Move what is a log's. The IDs of containers stay: who reads them knows that place."""
    for name in (OUTPUT_NAME, INDEX_NAME):
        with suppress(FileNotFoundError):
            os.rename(f"{job}/{name}", f"{log}/{name}")
