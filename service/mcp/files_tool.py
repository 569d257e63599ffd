"""The tool for files of jobs: `files` lists, reads, writes and removes."""

from __future__ import annotations

from service.client.async_client import AsyncClient, AsyncJob
from service.errors import UnknownFile
from service.host.escaping import escaped
from service.jobs.views import FileEntry
from service.mcp.answers import FileRow, FilesAnswer, Piece
from service.mcp.arguments import Files
from service.mcp.deadline import Deadline
from service.mcp.text import fitting, rendered, size


async def files(client: AsyncClient, given: Files, deadline: Deadline) -> FilesAnswer:
    """What is at a path of a job's directory; or it is written, or removed."""
    del deadline
    job = client.job(given.job)
    if given.write is not None:
        entry = await job.files.write(given.path, given.write.encode())
        return FilesAnswer(path=given.path, size=entry.size, next_step="It is written.")
    if given.remove:
        await job.files.delete(given.path, recursive=True)
        return FilesAnswer(path=given.path, next_step="It is removed.")
    is_directory = await job.files.is_directory(given.path)
    if is_directory is None:
        await job.show()  # an unknown job is told as such
        raise UnknownFile(given.path)
    return await (_listed(job, given) if is_directory else _read(job, given))


async def _listed(job: AsyncJob, given: Files) -> FilesAnswer:
    rows: list[FileRow] = []
    room, has_more = given.max_bytes, False
    async with job.files.list(given.path, recursive=given.recursive) as entries:
        async for entry in entries:
            row = _row(entry)
            room -= size(row.line) + 1
            if rows and room < 0:
                has_more = True
                break
            rows.append(row)
    step = "These are all." if rows else "There is nothing in it."
    if has_more:
        step = "There are more: list a directory below, or with a larger max_bytes."
    return FilesAnswer(path=given.path, entries=rows, is_all=not has_more, next_step=step)


async def _read(job: AsyncJob, given: Files) -> FilesAnswer:
    data, has_more = bytearray(), False
    async with job.files.stream(given.path, offset=given.offset) as pieces:
        async for piece in pieces:
            data += piece
            if len(data) > given.max_bytes:
                has_more = True
                break
    data = data[: given.max_bytes]
    whole = bytes(data)
    count = fitting(whole, given.max_bytes, "more" if has_more else "nothing")
    begin, end = given.offset, given.offset + count
    is_all = not has_more and count == len(whole)
    step = "That is all of it." if is_all else f"It goes on: `files` with offset={end}."
    return FilesAnswer(
        path=given.path,
        content=Piece(start=begin, end=end, text=rendered(whole[:count])),
        is_all=is_all,
        next_step=step,
    )


def _row(entry: FileEntry) -> FileRow:
    return FileRow(
        name=escaped(entry.name),
        type=entry.type,
        size=entry.size,
        modified_at=entry.modified_at,
    )
