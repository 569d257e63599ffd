"""One call of a tool: arguments are checked, time is bounded, failures become sentences."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from service.client.async_client import AsyncClient
from service.client.failures import ServiceUnreachable, UnexpectedAnswer
from service.errors import JobrunnerError
from service.mcp.answers import Answer
from service.mcp.deadline import Deadline
from service.mcp.failures import ToolFailed, told
from service.mcp.tools import TOOLS


async def called(client: AsyncClient, name: str, arguments: dict[str, Any]) -> Answer:
    """What the tool answers, before its deadline. Cancelled, it leaves the jobs alone.

    Raises: ToolFailed.
    """
    if (tool := TOOLS.get(name)) is None:
        raise ToolFailed(f"Expected one of the tools {', '.join(TOOLS)}, got {name[:80]!r}.")
    try:
        given = msgspec.convert(arguments, tool.takes)
    except msgspec.ValidationError as exc:
        names = ", ".join(tool.takes.__struct_fields__)
        raise ToolFailed(f"{told(exc)}. `{name}` takes: {names}.") from exc
    deadline = Deadline()
    try:
        async with asyncio.timeout_at(deadline.at):
            return await tool.call(client, given, deadline)
    except (TimeoutError, JobrunnerError, ServiceUnreachable, UnexpectedAnswer) as exc:
        raise ToolFailed(told(exc)) from exc
