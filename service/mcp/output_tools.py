"""The tools that answer with output: `run` and `read`."""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import Any, Final

from service.client.async_client import AsyncClient, AsyncJob
from service.client.failures import ServiceUnreachable, UnexpectedAnswer
from service.client.results import Gap, Match
from service.errors import JobrunnerError, OffsetBeyondEnd
from service.jobs.views import JobView
from service.mcp.answers import LeftOut, Matched, Output, line_of
from service.mcp.arguments import Read, Run
from service.mcp.deadline import Deadline
from service.mcp.failures import ToolFailed, told
from service.mcp.pages import Page, both_ends, last, page
from service.mcp.standing import status_of
from service.mcp.text import fitting, rendered, size

# Bytes of a line that matches, with its number: `1:` and the newline.
_LEAST_LINE: Final = 3
# What is shown of a line that matches, as a share of the budget.
_LINE_SHARE: Final = 4
# Seconds until lines are numbered: less than hosts wait for a tool.
_INDEX_S: Final = 30.0


async def run(client: AsyncClient, given: Run, deadline: Deadline) -> Output:
    """Submit, wait a while, show both ends of the output."""
    key = given.key or f"mcp-{token_hex(16)}"
    submission = _submission(given)
    try:
        async with asyncio.timeout(deadline.wait_s(float("inf"))):
            job = await client.submit(submission, key=key)
    except (TimeoutError, ServiceUnreachable) as exc:
        if isinstance(exc, ServiceUnreachable) and not exc.may_have_happened:
            raise
        raise ToolFailed(
            f"{told(exc)} The job may have been submitted: `run` with the same arguments and"
            f" key={key} tells, and doesn't run it twice."
        ) from exc
    try:
        async with asyncio.timeout_at(deadline.at):
            return await _watched(job, given, deadline)
    except (TimeoutError, JobrunnerError, ServiceUnreachable, UnexpectedAnswer) as exc:
        raise ToolFailed(
            f"{told(exc)} The job {job.id} was submitted, and goes on: `wait` and `read` tell."
        ) from exc


async def read(client: AsyncClient, given: Read, deadline: Deadline) -> Output:
    """A part of the output: what follows an offset, the last lines, or lines that match."""
    job = client.job(given.job)
    if given.grep is not None:
        return await _search(job, given, given.grep)
    if given.tail is not None:
        view = await job.show()
        return _output(view, await _tail(job, view, given.tail, given.max_bytes))
    offset = given.offset or 0
    if given.line is not None:
        offset = await _offset_of(job, given.line)
    if given.wait_s:
        await _first_byte(job, offset, deadline.wait_s(given.wait_s))
    view = await job.show()
    total = view.output.bytes
    if offset > total:
        raise OffsetBeyondEnd(offset, total)
    end = total if given.end is None else min(given.end, total)
    is_final = end < total or _has_ended(view)
    return _output(view, await page(job, offset, end, given.max_bytes, is_final=is_final))


def _submission(given: Run) -> dict[str, Any]:
    if (given.command is None) == (given.commands is None):
        got = "neither" if given.command is None else "both"
        raise ToolFailed(f"Expected one of command and commands, got {got}.")
    job: dict[str, Any] = {}
    if given.command is not None:
        job["CommandLine"] = given.command
    else:
        job["Commands"] = [
            {"CommandLine": each} if isinstance(each, str) else each
            for each in given.commands or ()
        ]
    others = {
        "WorkingDir": given.cwd,
        "Environment": given.env or None,
        "Name": given.name,
        "Timeout": given.timeout_s,
        "Stdin": given.stdin or None,
    }
    return job | {key: value for key, value in others.items() if value is not None}


async def _watched(job: AsyncJob, given: Run, deadline: Deadline) -> Output:
    try:
        view = await job.wait(deadline.wait_s(given.wait_s))
    except TimeoutError:
        view = await job.show()
    shown = await both_ends(job, view.output.bytes, given.max_bytes, is_final=_has_ended(view))
    return _output(view, shown)


async def _offset_of(job: AsyncJob, line: int) -> int:
    """Where the line with that number begins."""
    found = await job.lines_around(line=line, after=0, wait=_INDEX_S)
    if found.lines:
        return found.lines[0].offset
    so_far = "" if found.indexed == found.size else f" in the first {found.indexed} bytes, so far"
    raise ToolFailed(f"Expected a line that is there, got {line}: there are {found.total}{so_far}.")


async def _first_byte(job: AsyncJob, offset: int, wait_s: float) -> None:
    """Return when there is one at the offset, or the job has ended, or the time is over."""
    try:
        async with asyncio.timeout(wait_s), job.records(offset=offset, limit=1) as records:
            await anext(records, None)
    except TimeoutError:
        return


async def _tail(job: AsyncJob, view: JobView, lines: int, budget: int) -> Page:
    total = view.output.bytes
    start = total
    async with job.records(tail=lines, limit=1, follow=False) as records:
        async for record in records:
            start = record.start if isinstance(record, Gap) else record.offset
            break
    return await last(job, min(start, total), total, budget, is_final=_has_ended(view))


async def _search(job: AsyncJob, given: Read, pattern: str) -> Output:
    """Whole lines only: one that still grows is searched when it is complete."""
    view = await job.show()
    total, offset = view.output.bytes, given.offset or 0
    if offset > total:
        raise OffsetBeyondEnd(offset, total)
    end = total if given.end is None else min(given.end, total)
    if not _has_ended(view):
        end = min(end, await _end_of_lines(job, end))
    matches: list[Matched] = []
    count, room, next_offset = 0, given.max_bytes, max(end, offset)
    left_out: list[LeftOut] = []
    if end > offset:
        async with job.grep(
            pattern,
            offset=offset,
            limit=end - offset,
            context=given.context or None,
            ignore_case=given.ignore_case,
            max=given.max_bytes // _LEAST_LINE + 1,
            ansi="strip",
            cr="collapse",
        ) as found:
            async for each in found:
                if isinstance(each, Gap):
                    left_out.append(LeftOut(start=each.start, end=each.end, why="dropped"))
                    continue
                if room <= 0:
                    continue  # all are counted
                match = _matched(each, given.max_bytes)
                room -= size(line_of(match)) + 1
                if room < 0:
                    next_offset, room = each.offset, 0
                else:
                    matches.append(match)
            count = found.count or 0
    return _output(
        view,
        Page(pieces=[], left_out=left_out[:1], end=next_offset, is_whole=next_offset >= end),
        matches=matches,
        match_count=count,
    )


async def _end_of_lines(job: AsyncJob, end: int) -> int:
    """Where the last line begins, if it isn't complete yet; else `end`."""
    start, is_partial = end, False
    async with job.records(tail=1, lines=True, follow=False) as records:
        async for record in records:
            if not isinstance(record, Gap):
                start, is_partial = min(start, record.offset), record.is_partial
    return start if is_partial else end


def _matched(found: Match, budget: int) -> Matched:
    shown = fitting(found.data, budget // _LINE_SHARE, "nothing")
    return Matched(
        line=found.line,
        offset=found.offset,
        text=rendered(found.data[:shown]),
        is_context=found.is_context,
        is_cut=shown < len(found.data),
    )


def _has_ended(view: JobView) -> bool:
    return view.state in ("exited", "killed")


def _output(
    view: JobView,
    shown: Page,
    matches: list[Matched] | None = None,
    match_count: int | None = None,
) -> Output:
    is_all = _has_ended(view) and shown.end >= view.output.bytes
    return Output(
        job=status_of(view),
        pieces=shown.pieces,
        left_out=shown.left_out,
        next_offset=shown.end,
        is_all=is_all,
        matches=matches,
        match_count=match_count,
        next_step=_next_step(view, shown.end, is_search=matches is not None, is_all=is_all),
    )


def _next_step(view: JobView, offset: int, *, is_search: bool, is_all: bool) -> str:
    if is_all:
        return "That is the end of the output."
    what = "`read` with the same grep" if is_search else "`read`"
    if offset < view.output.bytes:
        return f"More: {what} with offset={offset}."
    return (
        f"The job goes on by itself. What comes next: {what} with offset={offset} and wait_s, or"
        " `wait` for its end."
    )
