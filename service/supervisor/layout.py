"""Makes the directories of jobs and of logs; moves logs that lie beside working directories.

An earlier layout kept them there. They are moved once, before the supervisor serves, into a
directory of another name, which is renamed in one step at the end: a move that was interrupted is
continued, and a directory of the final name means that all logs are there. A log that an earlier
image of this process has open stays open in its new place.
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
    """Make the directories of jobs and of logs. Raises: OSError."""
    paths = StateDir(state_dir)
    jobs, logs, under_way = paths.jobs, paths.logs, paths.unfinished_logs
    jobs.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    if logs.is_dir():
        return
    under_way.mkdir(mode=LOG_MODE, exist_ok=True)
    names = [name for name in os.listdir(jobs) if _has_log(f"{jobs}/{name}")]
    # All that needs free space comes first: on a full disk nothing is moved.
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
    """Move the files of a log. The IDs of containers stay: their reader knows that place."""
    for name in (OUTPUT_NAME, INDEX_NAME):
        with suppress(FileNotFoundError):
            os.rename(f"{job}/{name}", f"{log}/{name}")
