"""The tool that types: `send`."""

from __future__ import annotations

import asyncio

from service.client.async_client import AsyncClient
from service.mcp.answers import Sent
from service.mcp.arguments import Send
from service.mcp.deadline import Deadline
from service.mcp.keys import bytes_of
from service.mcp.standing import status_of


async def send(client: AsyncClient, given: Send, deadline: Deadline) -> Sent:
    """Write into a job's input, for as long as there is time for."""
    job = client.job(given.job)
    data = bytes_of(given.key) if given.key is not None else _text(given)
    begin = given.offset
    try:
        async with asyncio.timeout(deadline.wait_s(given.wait_s)):
            if begin is None:
                begin = await job.send(b"")
            taken = await job.send(
                data, offset=begin, eof=given.eof, resume=given.offset is not None
            )
    except TimeoutError:
        return await _not_all(client, given, begin)
    view = await job.show()
    return Sent(
        job=status_of(view),
        is_sent=True,
        next_input=taken,
        next_step="What it says to that: `read` with wait_s."
        if not given.eof
        else "Its input has ended: `wait`, or `read`.",
    )


def _text(given: Send) -> bytes:
    if given.text is None:
        return b""
    return f"{given.text}\n".encode() if given.newline else given.text.encode()


async def _not_all(client: AsyncClient, given: Send, begin: int | None) -> Sent:
    view = await client.job(given.job).show()
    if view.state == "pending" or begin is None:
        step = "It hasn't started, so nothing was sent. `wait`, then `send` again."
    else:
        step = (
            f"It doesn't read: not all was taken. `send` the same with offset={begin} sends only"
            " what is missing."
        )
    return Sent(job=status_of(view), is_sent=False, next_input=begin, next_step=step)
