"""The directories of a job: made with its first command, and entered by each.

A working directory inside of the job's own is opened beneath it, in one step and as the job's user:
no symbolic link that an earlier command has made leads anywhere else. The command starts in the
directory that was opened: there is no time between check and use.
"""

from __future__ import annotations

import os
from base64 import b64decode
from contextlib import ExitStack, suppress
from typing import Final

from service.files.beneath import make_directories_beneath, open_by_links
from service.files.job import LOG_MODE, WORK_MODE, JobFiles
from service.files.work import Initial, acting_for, make_work
from service.host.identity import Identity
from service.link.start import Start
from service.supervisor.process.refusal import Refused, about_directory

_PASSING: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def job_user(request: Start) -> Identity | None:
    """The user of the job of this message `start`; None: the supervisor's own."""
    run_as = request.get("run_as")
    if run_as is None:
        return None
    return Identity(run_as["uid"], run_as["gid"], tuple(run_as.get("groups", ())))


def make_directories(files: JobFiles, request: Start) -> None:
    """Make the directories of the job of this message `start`. Raises: OSError."""
    user = job_user(request)
    initial = [
        Initial(file["path"], b64decode(file["data"]), file["mode"])
        for file in request.get("files", ())
    ]
    mode = request.get("work_dir_mode", WORK_MODE)
    make_work(files, user, mode=mode, initial=initial)


def make_log_directory(files: JobFiles) -> None:
    """For files of ours beside the log; the log makes it by itself. Raises: OSError."""
    with suppress(FileExistsError):
        os.mkdir(files.log, LOG_MODE)


def enter_directory(request: Start, files: JobFiles, stack: ExitStack) -> str | None:
    """The directory in which the command of this message `start` is to be spawned. It is made when
    it is the job's own and missing. None: the current directory of this process, until `stack` is
    closed; it was changed to as the user, which root without CAP_DAC_OVERRIDE couldn't do later. A
    program of the service starts in `/`, where no job can put a file for it to find. Raises:
    Refused.
    """
    path: str = request["cwd"]
    inner = files.beneath_work(path) if request["create_cwd"] else None
    try:
        with acting_for(job_user(request)):
            descriptor = (
                open_by_links(path, _PASSING) if inner is None else _made(files.work, inner)
            )
            stack.callback(os.close, descriptor)
            stack.callback(os.chdir, "/")
            os.fchdir(descriptor)  # the only full answer to whether the user may
    except OSError as exc:
        raise Refused(about_directory(exc, path)) from exc
    return "/" if request.get("as_service_user") else None


def _made(work: str, inner: str) -> int:
    own = os.open(work, _PASSING | os.O_NOFOLLOW)
    if inner == ".":
        return own
    try:
        return make_directories_beneath(own, inner)
    finally:
        os.close(own)
