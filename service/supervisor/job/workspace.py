"""The directories of a job: made with its first command, and entered by each.

A working directory inside of the job's own is reached beneath that, in one step and as the job's
user: no link that an earlier command has made leads a command, or whoever makes its directory,
anywhere else. What was opened is where the command begins: there is no moment between the check
and its use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from service.files.beneath import make_directories_beneath, open_by_links
from service.files.job import DIRECTORY_MODE, LOG_MODE, WORK_MODE, JobFiles
from service.files.user import acting_as
from service.host.identity import Identity
from service.link.to_supervisor import Start
from service.supervisor.process.spawn import Refused, about_directory

_PASSING: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def job_user(request: Start) -> Identity | None:
    """The user of the job of this `start` message; None: the supervisor's own."""
    run_as = request.get("run_as")
    return None if run_as is None else Identity(run_as["uid"], run_as["gid"])


def make_directories(files: JobFiles, request: Start) -> None:
    """Make what the job of this `start` message lives in. Raises: OSError."""
    with suppress(FileExistsError):
        os.mkdir(files.directory, DIRECTORY_MODE)
    with suppress(FileExistsError):
        os.mkdir(files.work, request.get("work_dir_mode", WORK_MODE))
    if (user := job_user(request)) is not None:
        os.chown(files.work, *user, follow_symlinks=False)


def make_log_directory(files: JobFiles) -> None:
    """For what is of ours beside the log itself, which makes it by itself. Raises: OSError."""
    with suppress(FileExistsError):
        os.mkdir(files.log, LOG_MODE)


def begin_in(request: Start, files: JobFiles, held: ExitStack) -> str | None:
    """Where the command of this `start` message begins, made when it is the job's own and missing.
    None: where this process stands until `held` is left; it has gone there as the user, as root
    without CAP_DAC_OVERRIDE couldn't. A program of the service begins in `/`, where no job can put
    a file for it to find. Raises: Refused.
    """
    path: str = request["cwd"]
    inner = files.beneath_work(path) if request["create_cwd"] else None
    try:
        with _acting(job_user(request)):
            descriptor = (
                open_by_links(path, _PASSING) if inner is None else _made(files.work, inner)
            )
            held.callback(os.close, descriptor)
            held.callback(os.chdir, "/")
            os.fchdir(descriptor)  # the only full answer to whether the user may
    except OSError as exc:
        raise Refused(about_directory(exc, path)) from exc
    return "/" if request.get("as_service_user") else None


@contextmanager
def _acting(identity: Identity | None) -> Iterator[None]:
    if identity is None:
        yield
        return
    with acting_as(identity.uid, identity.gid):
        yield


def _made(work: str, inner: str) -> int:
    own = os.open(work, _PASSING | os.O_NOFOLLOW)
    if inner == ".":
        return own
    try:
        return make_directories_beneath(own, inner)
    finally:
        os.close(own)
