"""Errors about files of jobs."""

from __future__ import annotations

from service.errors.tree import JobrunnerError


class BadPath(JobrunnerError):
    """The path can't be one in a job's directory."""

    code, title, status = "bad_path", "Invalid path", 400


class UnknownFile(JobrunnerError):
    code, title, status = "unknown_file", "File not found", 404

    def __init__(self, path: str) -> None:
        super().__init__(f"There is no file {path[:200]!r} in the directory of the job.")


class FileForbidden(JobrunnerError):
    """The job's user may not do that, or the path leads out of the job's directory."""

    code, title, status = "file_forbidden", "File can't be accessed", 403


class WrongFileType(JobrunnerError):
    """What is there is of another type than the request needs: a directory, a FIFO, a device."""

    code, title, status = "wrong_file_type", "Wrong type of file", 409


class DirectoryNotEmpty(JobrunnerError):
    code, title, status = "directory_not_empty", "Directory is not empty", 409


class FileBusy(JobrunnerError):
    """Something else holds the file, or changes it faster than it can be reached."""

    code, title, status = "file_busy", "File is busy", 409


class PreconditionFailed(JobrunnerError):
    """`If-Match`, `If-None-Match` or `If-Unmodified-Since` doesn't hold; nothing has changed."""

    code, title, status = "precondition_failed", "Precondition failed", 412


class BadArchive(JobrunnerError):
    """An archive that can't be unpacked any further; what came before is there."""

    code, title, status = "bad_archive", "Archive can't be unpacked", 422
