"""The tools that answer with how jobs stand: `wait`, `kill` and `list`."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from service.client.async_client import AsyncClient, AsyncJob
from service.jobs.views import JobView
from service.mcp.answers import JobList, KillAnswer, Listed, Status, Waited
from service.mcp.arguments import Kill, ListJobs, Wait
from service.mcp.deadline import Deadline
from service.mcp.standing import listed, receipt_of, status_of
from service.mcp.text import size


async def wait(client: AsyncClient, given: Wait, deadline: Deadline) -> Waited:
    """Until any of the jobs, or all of them, have ended."""
    jobs = [client.job(job_id) for job_id in dict.fromkeys(given.jobs)]
    wait_s = deadline.wait_s(given.wait_s)
    waits = [asyncio.create_task(_ended(job, wait_s)) for job in jobs]
    try:
        if given.until == "all":
            await asyncio.gather(*waits)
        else:
            for first in asyncio.as_completed(waits):
                if await first:
                    break
    finally:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    found = [status_of(await job.show()) for job in jobs]
    live = [each.job for each in found if not each.is_finished]
    return Waited(
        is_met=len(live) < len(found) if given.until == "any" else not live,
        jobs=found,
        next_step=_after_wait(found, live),
    )


async def kill(client: AsyncClient, given: Kill, deadline: Deadline) -> KillAnswer:
    """Kill a job with all its processes, and wait for its end."""
    job = client.job(given.job)
    await job.request_kill(signal=given.signal, grace=given.grace_s)
    with suppress(TimeoutError):
        await job.wait(deadline.wait_s(given.wait_s))
    view = await job.show()
    has_ended = view.state in ("exited", "killed")
    return KillAnswer(
        job=status_of(view),
        receipt=receipt_of(view) if has_ended else None,
        next_step=f"Its output: `read` with job={view.id} and tail."
        if has_ended
        else "It is being killed, whoever waits: `wait` tells when it has ended.",
    )


async def list_jobs(client: AsyncClient, given: ListJobs, deadline: Deadline) -> JobList:
    """Jobs, oldest first."""
    del deadline
    shown: list[Listed] = []
    room, next_since = given.max_bytes, None
    found = client.jobs(
        state=given.state or "all",
        name=given.name,
        label=given.label or None,
        since=given.since,
        until=given.until,
        exit_code=given.exit_code,
        limit=given.limit + 1,
    )
    async with found:
        async for job in found:
            row = listed(_view(job))
            room -= size(row.line) + 1
            if len(shown) == given.limit or (shown and room < 0):
                next_since = row.created_at
                break
            shown.append(row)
    step = "These are all." if shown else "There is none."
    if next_since is not None:
        step = f"There are more: `list` with the same and since={next_since}."
    return JobList(jobs=shown, next_since=next_since, next_step=step)


async def _ended(job: AsyncJob, wait_s: float) -> bool:
    try:
        await job.wait(wait_s)
    except TimeoutError:
        return False
    return True


def _after_wait(found: list[Status], live: list[str]) -> str:
    if live:
        return f"Still live: {len(live)} of {len(found)}; they go on by themselves. `wait` again."
    return "All of them have ended. Output: `read` with a job and offset or tail."


def _view(job: AsyncJob) -> JobView:
    assert job.view is not None  # noqa: S101 - each job of a list has one
    return job.view
