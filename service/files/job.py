"""Where the files of a job are: the job's own in one directory, ours about it in another.

`jobs/<ID>/work` belongs to the job. Its parent holds nothing that the service relies on, so a job
that changes `..` does no harm. The service's own files are in `logs/<ID>`, which only its user may
enter.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.paths import JOBS, LOGS

DIRECTORY_MODE: Final = 0o711
LOG_MODE: Final = 0o700
# The working directory is the job's user's alone.
WORK_MODE: Final = 0o700


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The paths of one job. `directory` is made with its first command, `log` with its first byte
    of output, or with another file of the service about the job.
    """

    directory: str
    log: str

    @property
    def work(self) -> str:
        """The working directory, and all that the job may write to."""
        return f"{self.directory}/work"

    def container_id(self, number: int) -> str:
        """Where docker's client writes the ID of the container of command `number`."""
        return f"{self.log}/container-{number}"

    def script(self, number: int) -> str:
        """A script of command `number` that is too long for an argument: the job's user can read
        it, and it lies where they can't replace it. It is there while the command runs.
        """
        return f"{self.directory}/script-{number}"

    def working_directory(self, *parts: str | None) -> str:
        """Where a command works. `parts` are the `WorkingDir` of the job and of the command: each
        is relative to the one before it, or absolute.
        """
        path = os.path.join(self.work, *(part for part in parts if part is not None))
        return os.path.normpath(path)

    def beneath_work(self, path: str) -> str | None:
        """`path` relative to the working directory; None when it isn't in it."""
        work = self.work
        if path == work:
            return "."
        return path[len(work) + 1 :] if path.startswith(f"{work}/") else None


def job_files(state_dir: Path | str, job_id: str) -> JobFiles:
    """The paths of the job `job_id`, whether its files exist or not."""
    state = os.fspath(state_dir)
    directory = f"{state}/{JOBS}/{job_id}"
    # A supervisor of a release that kept all in one directory may still be at work: the next one
    # moves the logs away before it serves (`supervisor.layout`).
    return JobFiles(directory, f"{state}/{LOGS}/{job_id}" if _is_apart(state) else directory)


_apart: set[str] = set()


def _is_apart(state_dir: str) -> bool:
    # Once they are apart they stay so: asked of the kernel until then.
    if state_dir in _apart:
        return True
    if not os.path.isdir(f"{state_dir}/{LOGS}"):
        return False
    _apart.add(state_dir)
    return True
