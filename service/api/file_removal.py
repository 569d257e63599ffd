"""`DELETE /<ID>/files/PATH`: removing files of a job."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.callers import audit, check_sees
from service.api.file_answers import validators_of
from service.api.file_parameters import Conditional, OfFile, path_of
from service.api.parameters import query
from service.api.preconditions import Preconditions
from service.api.route import Route, Routes, Success, Tag
from service.errors import BadHeader, BadPath, BadQuery, InsufficientStorage
from service.files.deleting import OutOfTime, delete
from service.files.names import shown
from service.files.place import Place, status_of
from service.files.refusals import told
from service.web.request import Request

routes: Final = Routes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Conditional, OfFile):
    recursive: bool = query(
        forms.flag(), "Whether a directory is removed with all that is in it.", default=False
    )


@routes.add(
    Route(
        method="DELETE",
        path="/{ID}/files/{PATH}",
        operation="removeFile",
        meaning="Remove a file of the job, or a directory.",
        parameters=Remove,
        details="Of a link the link is removed. The job's directory itself stays.",
        tag=Tag.FILES,
        scope=Scope.RUN,
        successes=(Success(204, "It is gone.", content=()),),
        problems=(
            BadHeader,
            BadPath,
            BadQuery,
            errors.DirectoryNotEmpty,
            errors.FileBusy,
            errors.FileForbidden,
            InsufficientStorage,
            errors.PreconditionFailed,
            errors.UnknownFile,
            errors.UnknownJob,
            errors.UnsupportedMediaType,
            errors.WrongFileType,
        ),
    )
)
async def remove_file(request: Request, given: Remove) -> HTTPResponse:
    """Remove a file or a directory.

    Raises: BadPath, UnknownJob, UnknownFile, FileForbidden, DirectoryNotEmpty, FileBusy,
        PreconditionFailed, Unavailable.
    """
    path = path_of(given.quoted_path, needed=True)
    check_sees(request, given.job_id)
    workspaces = request.app.ctx.engine.workspaces
    with told(path):
        place = await workspaces.place(given.job_id)
    audit(request, "remove", given.job_id, of_file=True, always=True)
    await workspaces.run(partial(_remove, place, path, given))
    request.app.ctx.engine.files_changed(given.job_id)
    return HTTPResponse(status=204)


def _remove(place: Place, path: bytes, given: Remove) -> None:
    with told(path):
        if given.preconditions != Preconditions():
            with place.acting() as top:
                status = status_of(top, path)
            given.preconditions.check_change(validators_of(status))
        try:
            delete(place, path, recursive=given.recursive)
        except OutOfTime as exc:
            raise errors.FileBusy(
                f"{shown(path)[:200]!r} has more in it than there was time for: ask again."
            ) from exc
