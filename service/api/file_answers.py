"""How files of jobs are shown and sent."""

from __future__ import annotations

import os
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog
from sanic import HTTPResponse

from service.api.output_answer import Stored, Whole
from service.api.preconditions import Preconditions, Validators, Verdict
from service.api.ranges import ByteRange
from service.errors import JobrunnerError
from service.files.archives import Archive, Format
from service.files.listing import Entry
from service.files.names import encoded, shown
from service.files.place import Found, Place
from service.files.reading import FileBytes
from service.jobs.times import rfc3339
from service.jobs.views import FileEntry
from service.web.request import Request
from service.web.streaming import StreamAborted, StreamingResponse
from service.web.timeouts import no_response_timeout

# Bytes that are read at a time where the kernel can't send them itself.
_READ_BYTES: Final = 256 << 10
_OCTETS: Final = "application/octet-stream"
# A copy may be kept, and asked for again by its ETag.
_KEEPING: Final = "private, no-cache"

_log = structlog.get_logger("jobrunner.api")


class Asked(Protocol):
    """The parameters of a request for a file."""

    @property
    def job_id(self) -> str: ...

    @property
    def byte_range(self) -> ByteRange | None: ...

    @property
    def if_range(self) -> str | None: ...

    @property
    def preconditions(self) -> Preconditions: ...


def entry_view(entry: Entry) -> FileEntry:
    """An entry as callers see it."""
    return FileEntry(
        name=shown(entry.path),
        path=encoded(entry.path),
        type=entry.type,
        size=entry.size,
        modified_at=rfc3339(entry.modified_ns),
        mode=f"{entry.mode:04o}",
    )


def validators_of(status: os.stat_result) -> Validators:
    """Another `ETag` for each version of a file: every upload is another inode, and a program that
    writes to a file changes its time.
    """
    etag = f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'
    return Validators(etag, status.st_mtime_ns // 1_000_000_000)


async def send_file(
    request: Request, given: Asked, path: bytes, found: Found
) -> HTTPResponse | None:
    """Send the open file, or the range of it that is asked for. Raises: PreconditionFailed."""
    validators = validators_of(found.status)
    verdict = given.preconditions.judge(validators)
    size = found.status.st_size
    # A date that is the file's own stands for its name.
    by_date = given.if_range == validators.last_modified
    whole = Whole(
        etag=validators.etag,
        wanted=given.byte_range if request.method == "GET" else None,
        if_range=validators.etag if by_date else given.if_range,
        if_none_match="*" if verdict is Verdict.NOT_MODIFIED else None,
    )
    answer = whole.answer(Stored(size, (0, 0), is_finished=True))
    headers = answer.headers | {"Last-Modified": validators.last_modified}
    headers.pop("Vary")
    if answer.status != 416:
        headers |= {"Cache-Control": _KEEPING, "Content-Disposition": disposition(path)}
    if not answer.has_body:
        return HTTPResponse(status=answer.status, headers=headers, content_type=_OCTETS)
    response = StreamingResponse(
        request,
        headers,
        _OCTETS,
        answer.end - answer.begin,
        status=answer.status,
        format_name="file",
    )
    try:
        with no_response_timeout(request):
            async with response:
                if request.method != "HEAD":
                    await _Copying(request, response, found).run(answer.begin, answer.end)
    except (StreamAborted, JobrunnerError, OSError) as exc:
        _log.info("file_cut", job=given.job_id, why=str(exc))
    return None


class _Copying(msgspec.Struct, frozen=True):
    request: Request
    response: StreamingResponse
    found: Found

    async def run(self, begin: int, end: int) -> None:
        """Send those bytes. Raises: StreamAborted, also when the file became shorter; OSError."""
        ctx = self.request.app.ctx
        source, offset = FileBytes(self.found.descriptor), begin
        while offset < end:
            reached = await self.response.send_file(source, offset, end)
            if reached < end:
                length = min(_READ_BYTES, end - reached)
                data = await ctx.engine.workspaces.run(partial(source.read, reached, length))
                if not data:
                    raise StreamAborted("the file has become shorter")
                await self.response.write(data)
                reached += len(data)
            ctx.metrics.file_moved("out", reached - offset)
            offset = reached


async def send_archive(request: Request, place: Place, path: bytes, form: Format) -> None:
    """Send the directory as an archive. It is cut when something in it couldn't be read, after all
    that could.
    """
    ctx = request.app.ctx
    name = path.rpartition(b"/")[2] or b"files"
    headers = {
        "Content-Disposition": disposition(name + form.suffix),
        "Cache-Control": "no-store",
    }
    response = StreamingResponse(request, headers, form.media_type, None, format_name="archive")
    archive = Archive(place, path, form)
    try:
        with no_response_timeout(request):
            async with response:
                while request.method != "HEAD":
                    data = await ctx.engine.workspaces.run(archive.next_piece)
                    if data is None:
                        break
                    await response.write(data)
                    ctx.metrics.file_moved("out", len(data))
    except (StreamAborted, JobrunnerError, OSError) as exc:
        _log.info("archive_cut", path=shown(path), why=str(exc))
    finally:
        ctx.engine.workspaces.soon(archive.close)


def disposition(path: bytes) -> str:
    """To be saved under its name, never shown: it may be a page with scripts, and this is the
    service's own site. Source: RFC 6266, RFC 8187.
    """
    name = path.rpartition(b"/")[2]
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in shown(name)
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded(name)}"
