"""`GET /<ID>/files/PATH`: a file of a job, a directory as a list, or as an archive."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.agreement import NOTHING_AGREED
from service.api.callers import audit, check_sees
from service.api.file_answers import entry_view, send_archive, send_file
from service.api.file_parameters import Conditional, OfFile, path_of
from service.api.forms import Form, Unfit
from service.api.parameters import OfJob, header, optional, query
from service.api.ranges import RANGE, ByteRange
from service.api.responses import json_response
from service.api.room import check_room
from service.api.route import JSON, Route, Routes, Success, Tag
from service.errors import UnknownFile, UnknownJob, WrongFileType
from service.files.archives import FORMATS
from service.files.listing import Entry, entries_of
from service.files.names import decoded, encoded, shown
from service.files.place import Found, Place, open_found
from service.files.refusals import told
from service.jobs.views import FileListing
from service.web.fd_reserve import Cost, refuse_in_reserve
from service.web.request import Request

routes: Final = Routes()

_MAX_ENTRIES: Final = 1000
_OCTETS: Final = "application/octet-stream"
_PROBLEMS: Final[tuple[type[errors.JobrunnerError], ...]] = (
    errors.BadHeader,
    errors.BadPath,
    errors.BadQuery,
    errors.FileBusy,
    errors.FileForbidden,
    errors.InsufficientStorage,
    UnknownFile,
    UnknownJob,
    WrongFileType,
)


def _after(text: str) -> bytes:
    if b"\0" in (found := decoded(text)):
        raise Unfit(text)
    return found


@dataclass(frozen=True, kw_only=True)
class _Listing:
    recursive: bool = query(
        forms.flag(), "Whether to list what is in directories below, too.", default=False
    )
    limit: int = query(
        forms.integer(1, _MAX_ENTRIES), "Entries of a page, at most.", default=_MAX_ENTRIES
    )
    after: bytes | None = optional(
        Form(_after, "a percent-encoded path", {"type": "string"}, encoded),
        "Where the page begins: behind this entry. It is the `Next` of the page before.",
    )
    archive: str | None = optional(
        forms.one_of({name: name for name in FORMATS}), "Send the directory as an archive."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Files(_Listing, OfJob):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class File(_Listing, Conditional, OfFile):
    byte_range: ByteRange | None = header(
        RANGE,
        "Of a file: `bytes=N-M`, `bytes=N-` or `bytes=-N`, the first of several; anything else is"
        " ignored.",
        name="Range",
        is_joined=True,
    )
    if_range: str | None = header(
        forms.text(),
        "The `ETag` or the date with which the range is meant; all is sent with another one.",
        name="If-Range",
    )
    if_modified_since: str | None = header(
        forms.text(), "A date since which the file must have changed.", name="If-Modified-Since"
    )


_ARCHIVES: Final = tuple(each.media_type for each in FORMATS.values())
_LISTED: Final = Success(
    200,
    "What is in the directory, or an archive of it, which ends cleanly only if all of it was there"
    " to be read.",
    FileListing,
    content=(JSON, *_ARCHIVES),
    headers=("Content-Disposition",),
)
_HEADERS: Final = ("Accept-Ranges", "Cache-Control", "ETag", "Last-Modified")
_DETAILS: Final = (
    "The directory is there before, during and after the run, until `clean`. All is read as the"
    " job's user, and nothing outside of the directory: links that stay in it are followed."
)


@routes.add(
    Route(
        method="GET",
        path="/{ID}/files",
        operation="files",
        meaning="What is in the job's directory.",
        parameters=Files,
        details=_DETAILS,
        tag=Tag.FILES,
        agreement=NOTHING_AGREED,
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(_LISTED,),
        problems=_PROBLEMS,
    )
)
async def files(request: Request, given: Files) -> HTTPResponse | None:
    """List the job's directory, or send it as an archive. Raises: as `file`."""
    return await _answer(
        request,
        File(
            job_id=given.job_id,
            quoted_path="",
            recursive=given.recursive,
            limit=given.limit,
            after=given.after,
            archive=given.archive,
        ),
    )


@routes.add(
    Route(
        method="GET",
        path="/{ID}/files/{PATH}",
        operation="file",
        meaning="A file of the job, or what is in a directory of it.",
        parameters=File,
        details=_DETAILS,
        tag=Tag.FILES,
        agreement=NOTHING_AGREED,
        scope=Scope.READ,
        cost=Cost.LONG_LIVED,
        successes=(
            msgspec.structs.replace(
                _LISTED,
                meaning="The file, as it was when the answer began; or what is in the directory."
                " An answer that ends cleanly is whole; else it is cut.",
                content=(_OCTETS, *_LISTED.content),
                headers=(*_LISTED.headers, *_HEADERS),
            ),
            Success(
                206,
                "The range of the file.",
                content=(_OCTETS,),
                headers=("Content-Range", *_LISTED.headers, *_HEADERS),
            ),
            Success(304, "The caller has this version of the file.", content=()),
        ),
        problems=(*_PROBLEMS, errors.PreconditionFailed),
    )
)
async def file(request: Request, given: File) -> HTTPResponse | None:
    """Send a file or what is in a directory; None, as it is sent when this returns.

    Raises: UnknownJob, UnknownFile, BadPath, FileForbidden, WrongFileType, FileBusy,
        PreconditionFailed, InsufficientStorage, Unavailable; all before the response begins.
    """
    return await _answer(request, given)


async def _answer(request: Request, given: File) -> HTTPResponse | None:
    path = path_of(given.quoted_path, needed=False)
    check_sees(request, given.job_id)
    workspaces = request.app.ctx.engine.workspaces
    with told(path):
        # Of a job that hasn't begun an archive is empty, and no list.
        place = await workspaces.place(given.job_id, make=given.archive is not None)
    check_room(request)
    audit(request, "read", given.job_id, of_file=True)
    found = await workspaces.run(partial(_open, place, path), lost=_close)
    if found is None:  # the job has no directory yet
        return json_response(FileListing([]))
    try:
        refuse_in_reserve(found.descriptor)
        if not found.is_directory:
            if given.archive is not None or given.quoted_path.endswith("/"):
                raise WrongFileType(f"{shown(path)[:200]!r} is a file, and no directory.")
            return await send_file(request, given, path, found)
        if given.archive is not None:
            await send_archive(request, place, path, FORMATS[given.archive])
            return None
        return json_response(await workspaces.run(partial(_list, place, path, found, given)))
    finally:
        workspaces.soon(partial(os.close, found.descriptor))


def _open(place: Place, path: bytes) -> Found | None:
    try:
        with told(path), place.acting() as top:
            return open_found(top, path)
    except UnknownFile:
        if path:
            raise
        return None


def _close(found: Found | None) -> None:
    if found is not None:
        os.close(found.descriptor)


def _list(place: Place, path: bytes, found: Found, given: File) -> FileListing:
    with told(path), place.acting() as top:
        entries, has_more = entries_of(
            top,
            path,
            found,
            limit=given.limit,
            after=given.after or b"",
            recursive=given.recursive,
        )
    return FileListing(
        [entry_view(entry) for entry in entries], _next(entries) if has_more else msgspec.UNSET
    )


def _next(entries: list[Entry]) -> str:
    return encoded(entries[-1].path)
