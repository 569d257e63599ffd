"""`PUT /<ID>/files/PATH`: writing files of a job."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.agreement import Agreement, Contradiction
from service.api.callers import audit, check_sees
from service.api.file_answers import entry_view, validators_of
from service.api.file_parameters import Conditional, OfFile, path_of
from service.api.forms import Form, Unfit
from service.api.parameters import OfJob, optional, query
from service.api.responses import json_response
from service.api.room import check_room
from service.api.route import JSON, Route, Routes, Success, Tag
from service.errors import BadHeader, BadPath, BadQuery
from service.files.archives import PACKED, Unpacking
from service.files.listing import entry_of
from service.files.place import Place
from service.files.refusals import told
from service.files.writing import Check, Done, Upload
from service.jobs.views import FileEntry, Unpacked
from service.web.fd_reserve import Cost
from service.web.request import Request
from service.web.request_body import pieces
from service.web.waiting_reader import counted

routes: Final = Routes()

_MODE: Final = re.compile("0?[0-7]{3}")


def _mode(text: str) -> int:
    if _MODE.fullmatch(text) is None:
        raise Unfit(text)
    return int(text, 8)


_MODE_FORM: Final = Form(
    _mode,
    "three octal digits, such as 755",
    {"type": "string", "pattern": f"^{_MODE.pattern}$"},
    "{:04o}".format,
)


_EXTRACT: Final = forms.one_of({name: name for name in PACKED})
_PROBLEMS: Final[tuple[type[errors.JobrunnerError], ...]] = (
    BadHeader,
    BadPath,
    BadQuery,
    errors.BadArchive,
    errors.FileBusy,
    errors.FileForbidden,
    errors.InsufficientStorage,
    errors.UnknownFile,
    errors.UnknownJob,
    errors.WrongFileType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpack(OfJob):
    extract: str = query(_EXTRACT, "The format of the archive.", default="tar")


@routes.add(
    Route(
        method="PUT",
        path="/{ID}/files",
        operation="unpackFiles",
        meaning="Unpack an archive into the job's directory.",
        parameters=Unpack,
        details="As `PUT /{ID}/files/{PATH}` does with `extract`. The body may be of any type.",
        tag=Tag.FILES,
        is_streamed=True,
        media=(),
        scope=Scope.RUN,
        cost=Cost.LONG_LIVED,
        successes=(Success(200, "It is unpacked.", Unpacked),),
        problems=_PROBLEMS,
    )
)
async def unpack_files(request: Request, given: Unpack) -> HTTPResponse:
    """Unpack an archive into the job's directory. Raises: as `write_file`."""
    return await _put(request, Write(job_id=given.job_id, quoted_path="", extract=given.extract))


_AGREEMENT: Final = Agreement(
    contradictions=(Contradiction("extract", "mode", "an archive has many files"),),
    words=("Nor may `extract` be given with conditions (`If-Match` and the like).",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Conditional, OfFile):
    mode: int | None = optional(
        _MODE_FORM,
        "Permissions of the file; when not given, those of the file that it replaces, else 644.",
    )
    extract: str | None = optional(
        _EXTRACT,
        "The body is an archive, which is unpacked into the directory.",
    )


@routes.add(
    Route(
        method="PUT",
        path="/{ID}/files/{PATH}",
        operation="writeFile",
        meaning="Write a file of the job, or unpack an archive into a directory of it.",
        parameters=Write,
        agreement=_AGREEMENT,
        details=(
            "Missing directories above it are made. The job sees the file when all of it is there,"
            " or never. Unpacking replaces files one by one, and refuses what would lead out of the"
            " job's directory; what came before an error stays. The body may be of any type."
        ),
        tag=Tag.FILES,
        is_streamed=True,
        media=(),
        scope=Scope.RUN,
        cost=Cost.LONG_LIVED,
        successes=(
            Success(
                201, "A new file.", FileEntry, content=(JSON,), headers=("ETag", "Last-Modified")
            ),
            Success(
                200,
                "It has replaced another file; or the archive is unpacked.",
                FileEntry,
                Unpacked,
                content=(JSON,),
                headers=("ETag", "Last-Modified"),
            ),
        ),
        problems=(*_PROBLEMS, errors.PreconditionFailed),
    )
)
async def write_file(request: Request, given: Write) -> HTTPResponse:
    """Write a file, or unpack an archive.

    Raises: BadPath, BadHeader, BadQuery, BadArchive, UnknownJob, FileForbidden, WrongFileType,
        FileBusy, PreconditionFailed, BodyTooLarge, InsufficientStorage, Unavailable.
    """
    return await _put(request, given)


async def _put(request: Request, given: Write) -> HTTPResponse:
    path = path_of(given.quoted_path, needed=given.extract is None)
    if "content-range" in request.headers:
        raise BadHeader("Content-Range: a part of a file can't be written; send the whole.")
    if given.extract is not None:
        _AGREEMENT.check(["extract"] if given.mode is None else ["extract", "mode"])
        if _is_conditional(given):
            raise BadQuery(
                "'extract' contradicts conditions (If-Match ...): an archive has many files."
            )
    if given.extract is None and given.quoted_path.endswith("/"):
        raise BadPath("The path: expected that of a file, got one with a slash at its end.")
    check_sees(request, given.job_id)
    ctx = request.app.ctx
    ctx.engine.check_free_space()
    check_room(request)
    with told(path):
        place = await ctx.engine.workspaces.place(given.job_id, make=True)
    audit(request, "write", given.job_id, of_file=True, always=True)
    with counted(request, "upload"):
        if given.extract is not None:
            return await _extract(request, place, path, is_compressed=PACKED[given.extract])
        return await _write(request, given, place, path)


async def _write(request: Request, given: Write, place: Place, path: bytes) -> HTTPResponse:
    ctx = request.app.ctx
    run = ctx.engine.workspaces.run
    conditions = given.preconditions

    def check(status: os.stat_result | None) -> None:
        conditions.check_change(None if status is None else validators_of(status))

    def begin() -> Upload:
        with told(path):
            return Upload(place, path, check, mode=given.mode)

    upload = await run(begin, lost=Upload.close)
    try:
        async for piece in pieces(request, most=ctx.settings.max_upload):
            await run(partial(_told_write, upload, path, piece))
            ctx.metrics.file_moved("in", len(piece))
        done: Done = await run(partial(_commit, upload, path, check, conditions.only_new))
    finally:
        ctx.engine.workspaces.soon(upload.close)
    ctx.engine.files_changed(given.job_id)
    validators = validators_of(done.status)
    return json_response(
        entry_view(entry_of(path, done.status)),
        status=201 if done.is_new else 200,
        headers={"ETag": validators.etag, "Last-Modified": validators.last_modified},
    )


def _told_write(upload: Upload, path: bytes, piece: bytes) -> None:
    with told(path):
        upload.write(piece)


def _commit(upload: Upload, path: bytes, check: Check, only_new: bool) -> Done:  # noqa: FBT001
    with told(path):
        try:
            return upload.commit(check, only_new=only_new)
        except FileExistsError as exc:
            raise errors.PreconditionFailed("If-None-Match doesn't hold: there is a file.") from exc


async def _extract(
    request: Request, place: Place, path: bytes, *, is_compressed: bool
) -> HTTPResponse:
    ctx = request.app.ctx
    run = ctx.engine.workspaces.run
    most = ctx.settings.max_upload
    unpacking = await run(
        partial(Unpacking, place, path, is_compressed=is_compressed, most=most),
        lost=Unpacking.close,
    )
    try:
        async for piece in pieces(request, most=most):
            await run(partial(unpacking.feed, piece))
            ctx.metrics.file_moved("in", len(piece))
        await run(unpacking.finish)
    finally:
        ctx.engine.workspaces.soon(unpacking.close)
    return json_response(Unpacked(unpacking.entries))


def _is_conditional(given: Write) -> bool:
    return any((given.if_match, given.if_none_match, given.if_unmodified_since))
